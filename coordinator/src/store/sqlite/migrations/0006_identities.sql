-- Who may speak for a session: a name of the access file. Empty: nobody was asked when it was opened; the first who is
-- asked and speaks for it has it. Once set it never changes.
ALTER TABLE sessions ADD COLUMN identity TEXT NOT NULL DEFAULT '';

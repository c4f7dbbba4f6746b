//! The one error of a pipeline file: what is wrong, where, and what to do.

use std::fmt;

/// A line and a column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

/// What is wrong with a pipeline or its parameters; written for the person who can mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    origin: String,
    place: Option<Place>,
    key: String,
    what: String,
    help: Option<String>,
}

impl SpecError {
    pub(crate) fn new(origin: &str, what: impl Into<String>) -> Self {
        Self { origin: origin.to_owned(), place: None, key: String::new(), what: what.into(), help: None }
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    pub(crate) fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The file or thing the pipeline came from, as given to [`crate::Pipeline::from_yaml`].
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where in that file, when it is known.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// What is wrong, without its place.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What mends it, where that is known.
    #[must_use]
    pub fn mend(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The dotted key that is wrong, such as `source.list.items`; empty when the file as a whole is.
    #[must_use]
    pub fn dotted_key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)?;
        if let Some(Place { line, column }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.what)?;
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SpecError {}

/// `did you mean "x"?` when a known word is near, else all of them.
pub(crate) fn suggest<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let near = known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&unknown.to_lowercase(), &word.to_lowercase()), *word))
        .filter(|(distance, word)| *distance <= 1.max(word.len() / 3))
        .min();
    match near {
        Some((_, word)) => format!("did you mean \"{word}\"?"),
        None if known.is_empty() => "nothing is known here".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

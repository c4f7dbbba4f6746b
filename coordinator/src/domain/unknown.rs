//! Fields that a schema does not know, where the pipeline wants them reported.

/// A field that the schema does not know, in the records of a round that were sent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnknownField {
    /// A JSON pointer in which `*` stands for any place in an array; empty: all fields that are not told apart.
    pub path: String,
    /// Records that have it, each once.
    pub records: u64,
    /// ID of the first of them in the order of the list, as JSON text.
    pub sample: String,
}

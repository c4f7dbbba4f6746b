//! The format of pipeline files, for programs that know JSON Schema, such as editors.

/// A JSON Schema (2020-12) of pipeline files: every key, what may stand there, and what it is by default. It says less
/// than [`crate::Pipeline::from_yaml`] checks: what is right by it may still be refused, but never the other way round.
pub const FORMAT_SCHEMA: &str = include_str!("../../pipelines/pipeline.schema.json");

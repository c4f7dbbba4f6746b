//! The pipelines that every binary carries.

const BUILT_IN: [(&str, &str); 1] = [("animals", include_str!("../../pipelines/animals.yaml"))];

/// The YAML of a pipeline that every binary carries.
#[must_use]
pub fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, yaml)| *yaml)
}

/// The names of those pipelines.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

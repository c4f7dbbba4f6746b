//! The pipelines that runs can be started of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use muster_pipeline::{Pipeline, SpecError};

/// Pipelines by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pipelines: BTreeMap<String, Pipeline>,
}

/// Why a folder of pipelines cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A pipeline is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A file or folder cannot be read.
    #[error("{} cannot be read: {reason}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
}

impl Catalog {
    /// The built-in pipelines and these; one of the same name takes the place of a built-in one.
    pub fn new(more: Vec<Pipeline>) -> Result<Self, CatalogError> {
        let mut catalog = Self::default();
        for name in muster_pipeline::built_in_names() {
            if let Some(text) = muster_pipeline::built_in(name) {
                catalog.add(Pipeline::from_yaml(text, name)?);
            }
        }
        more.into_iter().for_each(|pipeline| catalog.add(pipeline));
        Ok(catalog)
    }

    /// Adds all `*.yaml` files of a folder.
    pub fn add_folder(&mut self, folder: &Path) -> Result<(), CatalogError> {
        let unreadable = |path: &Path, reason| CatalogError::Unreadable { path: path.to_owned(), reason };
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
                self.add(Pipeline::from_yaml(&text, &path.display().to_string())?);
            }
        }
        Ok(())
    }

    fn add(&mut self, pipeline: Pipeline) {
        self.pipelines.insert(pipeline.name().to_owned(), pipeline);
    }

    /// A pipeline by name.
    pub fn get(&self, name: &str) -> Option<&Pipeline> {
        self.pipelines.get(name)
    }

    /// A pipeline by revision.
    pub fn get_revision(&self, revision: &str) -> Option<&Pipeline> {
        self.pipelines.values().find(|pipeline| pipeline.revision() == revision)
    }

    /// All names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pipelines.keys().map(String::as_str)
    }

    /// Those whose names come after `after`, ascending.
    pub fn after<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Pipeline> {
        self.pipelines.iter().filter(move |(name, _)| name.as_str() > after).map(|(_, pipeline)| pipeline)
    }
}

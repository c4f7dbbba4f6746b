//! The pipelines that runs can be started of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster_pipeline::{Pipeline, SpecError};
use muster_telemetry::names;

/// Pipelines by name.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    pipelines: BTreeMap<String, Pipeline>,
    /// What is wrong with files of the folder, by the name of the pipeline that each of them was to be.
    broken: BTreeMap<String, CatalogError>,
    /// Read again whenever somebody asks: a file may be mended at any time.
    folder: Option<PathBuf>,
}

/// Why a folder of pipelines cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CatalogError {
    /// A pipeline is wrong.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A file or folder cannot be read.
    #[error("the pipelines in {} cannot be read: {reason}; --pipelines takes a folder with *.yaml files in it", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        reason: Arc<std::io::Error>,
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

    /// The same with all `*.yaml` files of a folder, now and as they will be. Each must be right.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, CatalogError> {
        self.folder = Some(folder.to_owned());
        let read = self.read_folder()?;
        match read.broken.into_values().next() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// All pipelines as they are now. A file that is wrong by now does not take the others away.
    pub async fn now(self: &Arc<Self>) -> Result<Arc<Self>, CatalogError> {
        let Some(folder) = self.folder.clone() else { return Ok(Arc::clone(self)) };
        let catalog = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || catalog.read_folder()).await;
        let failed = |error| CatalogError::Unreadable { path: folder, reason: Arc::new(std::io::Error::other(error)) };
        read.map_err(failed)?.map(Arc::new)
    }

    fn read_folder(&self) -> Result<Self, CatalogError> {
        let mut read = self.clone();
        let Some(folder) = &self.folder else { return Ok(read) };
        let unreadable =
            |path: &Path, reason| CatalogError::Unreadable { path: path.to_owned(), reason: Arc::new(reason) };
        let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
        for entry in entries {
            let path = entry.map_err(|error| unreadable(folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
                let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error));
                let name = text.as_deref().ok().and_then(name_in).map_or_else(|| stem(&path), str::to_owned);
                let parsed = text.and_then(|text| Ok(Pipeline::from_yaml(&text, &path.display().to_string())?));
                match parsed {
                    Ok(pipeline) => read.add(pipeline),
                    Err(error) => {
                        tracing::warn!(error = %error, { names::NEXT } = "the others can be used", "a pipeline is wrong");
                        read.broken.insert(name, error);
                    }
                }
            }
        }
        Ok(read)
    }

    fn add(&mut self, pipeline: Pipeline) {
        self.pipelines.insert(pipeline.name().to_owned(), pipeline);
    }

    /// A pipeline by name. An error if its file is wrong.
    pub fn get(&self, name: &str) -> Result<Option<&Pipeline>, &CatalogError> {
        match self.broken.get(name) {
            Some(error) => Err(error),
            None => Ok(self.pipelines.get(name)),
        }
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

/// The name that a file gives its pipeline, also one that is broken elsewhere.
fn name_in(text: &str) -> Option<&str> {
    let name = text.lines().find_map(|line| line.strip_prefix("name:"))?;
    let name = name.split(" #").next().unwrap_or(name).trim().trim_matches(['"', '\'']);
    Some(name).filter(|name| !name.is_empty())
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn animals(name: &str) -> String {
        let text = muster_pipeline::built_in("animals").expect("built in");
        text.replace("name: animals\n", &format!("name: {name}\n"))
    }

    #[tokio::test]
    async fn a_folder_is_read_anew_and_a_broken_file_concerns_only_its_own_pipeline() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: String| std::fs::write(folder.path().join(file), text).expect("written");
        write("a.yaml", animals("cats"));
        let base = Arc::new(Catalog::new(Vec::new()).and_then(|base| base.with_folder(folder.path())).expect("right"));
        let first = base.now().await.expect("readable");
        assert_eq!(first.names().collect::<Vec<_>>(), ["animals", "cats"]);

        write("a.yaml", animals("cats").replace("max_batch: 100", "max_batch: 50"));
        write("b.yaml", format!("{}oops: [\n", animals("dogs")));
        let second = base.now().await.expect("readable");
        let revision = |catalog: &Catalog| catalog.get("cats").ok().flatten().map(|cats| cats.revision().to_owned());
        assert_ne!(revision(&second), revision(&first));
        assert!(second.get("animals").is_ok_and(|found| found.is_some()));
        assert!(second.get("dogs").expect_err("broken").to_string().contains("b.yaml"));
        assert!(second.get("cows").is_ok_and(|found| found.is_none()));
        assert!(Catalog::new(Vec::new()).expect("right").with_folder(folder.path()).is_err(), "at the start all count");

        std::fs::remove_file(folder.path().join("b.yaml")).expect("removed");
        assert!(base.now().await.expect("readable").get("dogs").is_ok_and(|found| found.is_none()));
    }
}

//! The pipelines that runs can be started of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
    /// What the folder was like when it was last read, whoever did.
    seen: Arc<Mutex<Seen>>,
}

/// Which file of the folder was there first.
#[derive(Debug, Default)]
struct Seen {
    /// By the name of its pipeline.
    files: BTreeMap<String, PathBuf>,
    /// Those of a name that another one has: told once, for as long as they stand there.
    second: BTreeSet<PathBuf>,
}

/// A file of the folder, and what stands in it.
struct Entry {
    path: PathBuf,
    pipeline: Result<Pipeline, CatalogError>,
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
    /// Two files give their pipelines one name.
    #[error("{} and {} both have a pipeline called {name}; give one of them another name, or take it out of the folder", first.display(), second.display())]
    Twice {
        /// The name.
        name: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
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

    /// The same with all `*.yaml` files of a folder, now and as they will be. Each must be right, and have a name of its own.
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, CatalogError> {
        self.folder = Some(folder.to_owned());
        let (read, twice) = self.read_folder()?;
        match read.broken.into_values().next().or(twice) {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// All pipelines as they are now. A file that is wrong by now, or has the name of one that was there before, does not
    /// take the others away.
    pub async fn now(self: &Arc<Self>) -> Result<Arc<Self>, CatalogError> {
        let Some(folder) = self.folder.clone() else { return Ok(Arc::clone(self)) };
        let catalog = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || catalog.read_folder()).await;
        let failed = |error| CatalogError::Unreadable { path: folder, reason: Arc::new(std::io::Error::other(error)) };
        read.map_err(failed)?.map(|(read, _)| Arc::new(read))
    }

    /// What the folder makes of the catalog, and a name that two of its files have.
    fn read_folder(&self) -> Result<(Self, Option<CatalogError>), CatalogError> {
        let (mut read, mut twice) = (self.clone(), None);
        let Some(folder) = &self.folder else { return Ok((read, twice)) };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut files, mut second) = (BTreeMap::new(), BTreeSet::new());
        for (name, mut entries) in entries_of(folder)? {
            let before = seen.files.get(&name);
            let first = entries.iter().position(|entry| Some(&entry.path) == before).unwrap_or(0);
            let first = entries.remove(first);
            for other in entries {
                let error =
                    CatalogError::Twice { name: name.clone(), first: first.path.clone(), second: other.path.clone() };
                if !seen.second.contains(&other.path) {
                    tracing::warn!(error = %error, { names::NEXT } = "the first is used", "two pipelines have one name");
                }
                second.insert(other.path);
                twice.get_or_insert(error);
            }
            files.insert(name.clone(), first.path);
            match first.pipeline {
                Ok(pipeline) => read.add(pipeline),
                Err(error) => {
                    tracing::warn!(error = %error, { names::NEXT } = "the others can be used", "a pipeline is wrong");
                    read.broken.insert(name, error);
                }
            }
        }
        *seen = Seen { files, second };
        drop(seen);
        Ok((read, twice))
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

/// The `*.yaml` files of a folder, by the name that each gives its pipeline; those of one name by theirs.
fn entries_of(folder: &Path) -> Result<BTreeMap<String, Vec<Entry>>, CatalogError> {
    let unreadable = |path: &Path, reason| CatalogError::Unreadable { path: path.to_owned(), reason: Arc::new(reason) };
    let listed = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let paths = listed.map(|entry| Ok(entry.map_err(|error| unreadable(folder, error))?.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, CatalogError>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    paths.sort();
    let mut entries = BTreeMap::<String, Vec<Entry>>::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error));
        let said = text.as_deref().ok().and_then(name_in).map_or_else(|| stem(&path), str::to_owned);
        let pipeline = text.and_then(|text| Ok(Pipeline::from_yaml(&text, &path.display().to_string())?));
        let name = pipeline.as_ref().map_or(said, |pipeline| pipeline.name().to_owned());
        entries.entry(name).or_default().push(Entry { path, pipeline });
    }
    Ok(entries)
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

    #[tokio::test]
    async fn two_files_of_one_name_are_refused_at_the_start_and_the_first_stays_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |file: &str, text: String| std::fs::write(folder.path().join(file), text).expect("written");
        let of_size = |size: &str| animals("cats").replace("max_batch: 100", &format!("max_batch: {size}"));
        let start = || Catalog::new(Vec::new()).and_then(|base| base.with_folder(folder.path()));
        write("m.yaml", of_size("7"));
        let base = Arc::new(start().expect("right"));
        let revision = async || {
            let now = base.now().await.expect("readable");
            now.get("cats").expect("right").expect("there").revision().to_owned()
        };
        let first = revision().await;
        for (other, text) in
            [("a.yaml", of_size("8")), ("z.yml", of_size("9")), ("b.yaml", "name: cats\noops".to_owned())]
        {
            write(other, text);
            assert_eq!(revision().await, first, "{other} takes the place of the first");
            assert!(base.seen.lock().expect("whole").second.contains(&folder.path().join(other)));
        }
        std::fs::remove_file(folder.path().join("b.yaml")).expect("removed");
        let error = start().expect_err("two of one name").to_string();
        for said in ["a.yaml", "m.yaml", "called cats", "another name"] {
            assert!(error.contains(said), "{said} is not in: {error}");
        }
        std::fs::remove_file(folder.path().join("m.yaml")).expect("removed");
        assert_ne!(revision().await, first, "the first is gone");
        std::fs::remove_file(folder.path().join("z.yml")).expect("removed");
        // A file of the name of a built-in pipeline takes its place, as before.
        write("b.yaml", animals("animals").replace("max_batch: 100", "max_batch: 3"));
        assert!(start().is_ok());
    }
}

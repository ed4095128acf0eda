//! The document: `docs/performance.md`, the text between its marks, and its pictures.

mod goals;
mod picture;
mod tables;

use std::{fs, io, path::Path};

use serde_json::Value;

use crate::{
    cases::ALL,
    figure::{self, Figure},
    fleet, machine,
};

/// Writes the figures of these folders into the document, and the pictures beside it.
pub(crate) fn write(folders: &[&Path]) -> io::Result<()> {
    let (figures, notes) = gather(folders)?;
    let docs = fleet::source().join("../docs");
    let path = docs.join("performance.md");
    let document = fs::read_to_string(&path)?;
    let (before, rest) = document.split_once(BEGIN).ok_or_else(|| io::Error::other("the document has no place"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| io::Error::other("the document has no end of the place"))?;
    let tables = tables::tables(&figures, &notes);
    fs::write(&path, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))?;
    fs::create_dir_all(docs.join("performance"))?;
    for (name, picture) in picture::pictures(&figures) {
        fs::write(docs.join("performance").join(format!("{name}.svg")), picture)?;
    }
    Ok(())
}

/// Reads the figures and conditions of each group from the last of the folders that has a run of it.
fn gather(folders: &[&Path]) -> io::Result<(Vec<Figure>, Vec<Value>)> {
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for (group, _) in ALL {
        let Some(folder) = folders.iter().rev().find(|folder| machine::is_noted(folder, group)) else { continue };
        figures.extend(figure::read(&folder.join(format!("{group}.json")))?);
        notes.push(machine::read(folder, group)?);
    }
    Ok((figures, notes))
}

/// Writes the document without a run: from the results of this machine's runs, and from these folders, whose groups
/// replace those.
pub(crate) fn again(folders: &[&str]) -> io::Result<()> {
    let results = fleet::folder()?.join(RESULTS);
    let mut all = vec![results.as_path()];
    all.extend(folders.iter().map(Path::new));
    let has_results = |folder: &Path| ALL.iter().any(|(group, _)| machine::is_noted(folder, group));
    // This machine may have none, a folder that was named must have some.
    if let Some(empty) = all[1..].iter().find(|folder| !has_results(folder)) {
        return Err(io::Error::other(format!("no results in {}", empty.display())));
    }
    if !all.iter().any(|folder| has_results(folder)) {
        return Err(io::Error::other("no results: run `compare` first"));
    }
    write(&all)
}

/// The folder of the results of full runs, below the fleet's: a file of figures and one of conditions for each group.
pub(crate) const RESULTS: &str = "results";
/// The same for quick runs, which are never in the document.
pub(crate) const QUICK: &str = "quick";

const BEGIN: &str = "<!-- figures: written by `compare` -->";
const END: &str = "<!-- end of figures -->";

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    #[test]
    fn group_comes_from_the_last_folder_that_has_it() -> io::Result<()> {
        let folder = env::temp_dir().join(format!("tower-sse-report-{}", process::id()));
        let (first, last) = (folder.join("first"), folder.join("last"));
        let results = [(&first, "ten", 1.0), (&first, "flood", 2.0), (&last, "flood", 3.0)];
        for (folder, group, value) in results {
            fs::create_dir_all(folder)?;
            fs::write(folder.join(format!("{group}.json")), Figure::single(group, "us", figure::NS, value).line())?;
            fs::write(folder.join(format!("{group}.machine.json")), format!("{{\"rounds\": {value}}}"))?;
        }
        let (figures, notes) = gather(&[&first, &last])?;
        fs::remove_dir_all(folder)?;
        assert_eq!(figures.iter().map(|figure| figure.value).collect::<Vec<_>>(), [1.0, 3.0]);
        assert_eq!(notes.iter().map(|note| note["rounds"].as_f64()).collect::<Vec<_>>(), [Some(1.0), Some(3.0)]);
        Ok(())
    }
}

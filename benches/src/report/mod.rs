//! The document: `docs/performance.md`, what is between its marks, and its pictures.

mod goals;
mod picture;
mod tables;

use std::{env, fs, io, path::Path};

use crate::{figure, fleet, machine};

/// Writes the figures of the last run into the document, and the pictures beside it.
pub(crate) fn write(folder: &Path) -> io::Result<()> {
    let (figures, machine) = (figure::read(&folder.join("latest.json"))?, machine::read(folder)?);
    let docs = fleet::source().join("../docs");
    let path = docs.join("performance.md");
    let document = fs::read_to_string(&path)?;
    let (before, rest) = document.split_once(BEGIN).ok_or_else(|| io::Error::other("the document has no place"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| io::Error::other("the document has no end of the place"))?;
    let tables = tables::tables(&figures, &machine);
    fs::write(&path, format!("{before}{BEGIN}\n\n{tables}\n{END}{after}"))?;
    fs::create_dir_all(docs.join("performance"))?;
    for (name, picture) in picture::pictures(&figures) {
        fs::write(docs.join("performance").join(format!("{name}.svg")), picture)?;
    }
    Ok(())
}

/// The same from what is there, without a run.
pub(crate) fn again() -> io::Result<()> {
    let program = env::current_exe()?;
    let target = program.ancestors().nth(2).ok_or_else(|| io::Error::other("this program is in no folder"))?;
    write(&target.join("bench"))
}

const BEGIN: &str = "<!-- figures: written by `compare` -->";
const END: &str = "<!-- end of figures -->";

//! Pages with the code in `docs/browser.md`.

use std::time::Duration;

use tower_sse_e2e::document::{Document, with};

/// A page that runs a recipe, with the recipe's address replaced, and with the shown text reported to the page around it.
pub(crate) fn page(name: &str) -> String {
    let document = Document::read("browser.md");
    let (code, before, after) = match name {
        "share" => {
            let show = "const show = (data) => parent.note('shown', frameElement.id, data);";
            (document.block("js", "navigator.locks"), show, "")
        }
        "watchdog" => (with(&document.block("js", "clearTimeout"), "12_000", &WATCHED.as_millis().to_string()), "", ""),
        "saved" => {
            let told = "source.addEventListener('message', () => parent.note('saved', sessionStorage.lastEventId));";
            (document.block("js", "sessionStorage"), "", told)
        }
        _ => panic!("there is no recipe {name}"),
    };
    let code = with(&code, "\"/events\"", &format!("\"/events/{name}\""));
    format!(
        "<!doctype html><link rel=icon href=data:,><script>onerror = parent.broken;\n{before}\n{code}\n{after}</script>"
    )
}

/// The timeout of the watchdog, 12 s in the document: long for a busy machine, and shorter than the interval of
/// heartbeats.
pub(crate) const WATCHED: Duration = Duration::from_secs(8);

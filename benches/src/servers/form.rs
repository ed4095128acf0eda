//! Variants of a server: a name and what follows it, such as `us-cores`.

use super::Served;

/// The way in which hyper serves. A further variant of a server is a field here and a row in `Form::of`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) http2: bool,
    /// A chunk is written as three slices instead of one copy.
    pub(crate) is_vectored: bool,
    /// The number of current-thread runtimes.
    pub(crate) cores: usize,
    /// Topics gather events for 5 ms.
    pub(crate) lingers: bool,
}

impl Form {
    /// Returns the server's name without its variant, and the form. A name without a known variant is flat, in one runtime.
    pub(crate) fn of(served: Served<'_>) -> (&str, Self) {
        let plain = Self { http2: served.http2, is_vectored: false, cores: 1, lingers: false };
        let variants = [
            ("-vectored", Self { is_vectored: true, ..plain }),
            ("-cores", Self { cores: served.workers, ..plain }),
            ("-linger", Self { lingers: true, ..plain }),
        ];
        let found = variants.into_iter().find_map(|(end, form)| Some((served.name.strip_suffix(end)?, form)));
        found.unwrap_or((served.name, plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> (&str, Form) {
        Form::of(Served { name, workers: 2, http2: false })
    }

    #[test]
    fn suffix_names_the_variant() {
        let plain = Form { http2: false, is_vectored: false, cores: 1, lingers: false };
        assert_eq!(of("us"), ("us", plain));
        assert_eq!(of("us-vectored"), ("us", Form { is_vectored: true, ..plain }));
        assert_eq!(of("us-linger"), ("us", Form { lingers: true, ..plain }));
        assert_eq!(of("hyper-cores"), ("hyper", Form { cores: 2, ..plain }));
    }

    #[test]
    fn unknown_suffix_remains_in_the_name() {
        assert_eq!(of("us-unknown").0, "us-unknown");
    }
}

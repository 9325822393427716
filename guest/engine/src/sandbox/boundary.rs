//! The paths of `within` and `not_within`: bound to what they are when the rule is loaded (engine.md §6.2). They are taken
//! literally, unlike paths of calls: no percent-decoding, no patterns.

use super::Context;
use super::resolve::{Place, Walk, contains, join};
use crate::diagnostics::{Code, Findings};
use crate::documents::ruleset::Spanned;

/// One boundary.
#[derive(Clone, Debug)]
pub(super) enum Boundary {
    /// Absolute, links not followed yet.
    Unbound(String),
    /// What it is.
    Bound(String),
    /// It cannot be known: nothing is inside, and nobody can say what is excluded.
    Unknowable,
}

/// Which list a boundary stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Within,
    NotWithin,
}

impl List {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Within => "within",
            Self::NotWithin => "not_within",
        }
    }
}

impl Boundary {
    /// Compiles a list; `~` stands for the home directory. Findings: `E_SANDBOX_PATH`, `W_GLOB`.
    pub(super) fn compile(
        list: List,
        paths: &[Spanned<String>],
        context: &Context,
        findings: &mut Findings,
    ) -> Vec<Self> {
        let mut boundaries = Vec::with_capacity(paths.len());
        for path in paths {
            lint(list, path, findings);
            let text = path.value.as_str();
            let literal = Self::Unbound(join(&context.cwd, text));
            if !text.starts_with('~') {
                boundaries.push(literal);
                continue;
            }
            match context.expand_home(text) {
                Some(path) => boundaries.push(Self::Unbound(path)),
                None => {
                    let message = format!("{}: nobody knows what `~` in `{text}` stands for", list.as_str());
                    findings.warning(Code::LintGlob, path.span, message).help("give the option `home`, or a full path");
                    boundaries.push(Self::Unknowable);
                }
            }
            // A directory that is really called `~`.
            if list == List::NotWithin {
                boundaries.push(literal);
            }
        }
        boundaries
    }

    /// Binds it when everything it needs is known.
    pub(super) fn bind(&mut self, walk: &mut Walk<'_>) {
        let Self::Unbound(path) = self else { return };
        let place = walk.follow(path);
        if walk.knows_all() {
            *self = match place {
                Place::At(place) => Self::Bound(place),
                Place::Unknowable | Place::TooMuch => Self::Unknowable,
            };
        }
    }

    /// Whether a place is inside; none when nobody can say.
    pub(super) fn contains(&self, place: &str) -> Option<bool> {
        match self {
            Self::Bound(boundary) => Some(contains(boundary, place)),
            Self::Unbound(_) | Self::Unknowable => None,
        }
    }
}

fn lint(list: List, path: &Spanned<String>, findings: &mut Findings) {
    let (text, list) = (path.value.as_str(), list.as_str());
    if text.contains('\0') {
        findings.error(Code::SandboxPath, path.span, format!("{list}: `{}` has a NUL character", text.escape_debug()));
    } else if text.contains(|char: char| char.is_ascii_control()) {
        let message = format!("{list}: nothing is ever inside `{}`, which has control characters", text.escape_debug());
        findings.warning(Code::LintGlob, path.span, message);
    } else if text.contains(['*', '?', '[', '{', '$']) {
        let message = format!("{list}: `{text}` is taken literally; paths are neither patterns nor expanded");
        findings
            .warning(Code::LintGlob, path.span, message)
            .help("name the directory; everything below it is included");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::{Severity, Span};
    use crate::sandbox::Links;

    fn compile(list: List, path: &str, home: Option<&str>) -> (Vec<Option<String>>, Vec<(&'static str, Severity)>) {
        let context = Context { cwd: "/srv/dir".to_owned(), home: home.map(str::to_owned) };
        let mut findings = Findings::default();
        let paths = [Spanned { value: path.to_owned(), span: Span::default() }];
        let mut boundaries = Boundary::compile(list, &paths, &context, &mut findings);
        let mut links = Links::new();
        for _ in 0..2 {
            let mut walk = Walk::new(&links);
            boundaries.iter_mut().for_each(|boundary| boundary.bind(&mut walk));
            let unknown = walk.into_unknown();
            unknown.into_iter().for_each(|path| links.insert(path, crate::inquiry::Link::Plain));
        }
        let bound = boundaries
            .into_iter()
            .map(|boundary| if let Boundary::Bound(path) = boundary { Some(path) } else { None })
            .collect();
        let codes = findings.into_list().into_iter().map(|finding| (finding.code.as_str(), finding.severity)).collect();
        (bound, codes)
    }

    fn paths(list: &[&str]) -> Vec<Option<String>> {
        list.iter().map(|path| Some((*path).to_owned())).collect()
    }

    #[test]
    fn binds_to_absolute_paths() {
        for (path, expected) in [
            ("/w/", "/w"),
            ("//w/./x/../y", "/w/y"),
            ("w", "/srv/dir/w"),
            ("..", "/srv"),
            ("/", "/"),
            ("/w/%2e%2e", "/w/%2e%2e"),
            (" ", "/srv/dir/ "),
        ] {
            assert_eq!(compile(List::Within, path, None), (paths(&[expected]), vec![]), "{path}");
        }
    }

    #[test]
    fn tilde_is_the_home_directory_or_nothing() {
        assert_eq!(compile(List::Within, "~/p", Some("/home/u")).0, paths(&["/home/u/p"]));
        assert_eq!(compile(List::NotWithin, "~/p", Some("/home/u")).0, paths(&["/home/u/p", "/srv/dir/~/p"]));
        let (bound, findings) = compile(List::Within, "~/p", None);
        assert_eq!((bound, findings), (vec![None], vec![("W_GLOB", Severity::Warning)]));
        assert_eq!(compile(List::NotWithin, "~u/p", Some("/home/u")).0.first(), Some(&None));
    }

    #[test]
    fn reports_what_cannot_be_a_path_or_looks_like_a_pattern() {
        assert_eq!(compile(List::Within, "/w\0x", None).1, [("E_SANDBOX_PATH", Severity::Error)]);
        for path in ["/w/*", "$HOME/x", "/w\n"] {
            assert_eq!(compile(List::Within, path, None).1, [("W_GLOB", Severity::Warning)], "{path:?}");
        }
    }
}

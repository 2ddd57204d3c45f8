//! Regular expressions over paths: complete DFAs, built when the table is. No cache, no lock, no allocation and no worst case while
//! serving; what would need too large an automaton is refused when compiling.

use crate::{REGEX_BYTES_MAX, REGEX_DFA_BYTES_MAX};
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, Look};

/// Deepest nesting of groups.
const NEST_MAX: u32 = 64;

/// A compiled expression, anchored at both ends.
pub(crate) struct PathRegex {
    dfa: dense::DFA<Vec<u32>>,
    /// What every match begins with: most expressions are ruled out by one comparison.
    prefix: Box<[u8]>,
}

impl PathRegex {
    pub fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > REGEX_BYTES_MAX {
            return Err(format!(
                "the expression has {} bytes; at most {REGEX_BYTES_MAX} are allowed",
                pattern.len()
            ));
        }
        let config = syntax::Config::new().unicode(false).utf8(false).nest_limit(NEST_MAX);
        // The end is joined as a parsed tree, not as text: `a)|(b` or a comment of verbose mode cannot escape from it.
        let given = syntax::parse_with(pattern, &config).map_err(|e| e.to_string())?;
        let prefix = Extractor::new()
            .extract(&given)
            .longest_common_prefix()
            .unwrap_or_default()
            .into();
        let whole = Hir::concat(vec![given, Hir::look(Look::End)]);
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(thompson::WhichCaptures::None)
                    .nfa_size_limit(Some(REGEX_DFA_BYTES_MAX)),
            )
            .build_from_hir(&whole)
            .map_err(|e| too_large(&e))?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .dfa_size_limit(Some(REGEX_DFA_BYTES_MAX))
                    .determinize_size_limit(Some(2 * REGEX_DFA_BYTES_MAX)),
            )
            .build_from_nfa(&nfa)
            .map_err(|e| too_large(&e))?;
        Ok(Self { dfa, prefix })
    }

    /// Bytes of the automaton.
    pub fn bytes(&self) -> usize {
        self.dfa.memory_usage()
    }

    pub fn matches(&self, path: &[u8]) -> bool {
        // An error would be a byte that the automaton gives up on; none is configured.
        path.starts_with(&self.prefix)
            && matches!(
                self.dfa.try_search_fwd(&Input::new(path).anchored(Anchored::Yes)),
                Ok(Some(_))
            )
    }
}

fn too_large(error: &dyn std::fmt::Display) -> String {
    format!(
        "the expression cannot be made an automaton of at most {REGEX_DFA_BYTES_MAX} bytes ({error}); use smaller repetition counts or a template"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        PathRegex::new(pattern).unwrap().matches(path.as_bytes())
    }

    #[test]
    fn an_expression_covers_the_whole_path() {
        assert!(matches("/a[0-9]+", "/a12"));
        assert!(!matches("/a[0-9]+", "/a12/x"));
        assert!(!matches("a", "/a"));
        assert!(matches("^/a$", "/a"));
        assert!(!matches("/a", "/a\n"));
        assert!(matches("(?i)/API/.*", "/api/x"));
        assert!(!matches("/[^/]+", "/a/b"));
        assert!(matches("/a|/ab", "/ab"));
        assert!(matches("/é", "/é"));
    }

    #[test]
    fn no_expression_escapes_from_the_anchors() {
        assert!(PathRegex::new("/a)|(.*").is_err());
        assert!(!matches("(?x)/a # comment", "/ab"));
        assert!(!matches("(?m)/a$", "/a\n/b"));
    }

    #[test]
    fn what_is_not_linear_or_too_large_is_refused() {
        for pattern in [
            r"(a)\1",
            "(?=a)",
            "(",
            r"[\w]{1000}{1000}",
            "(a|b)*a(a|b){20}",
            &"(".repeat(200),
            &"a".repeat(2000),
        ] {
            assert!(PathRegex::new(pattern).is_err(), "{pattern}");
        }
    }
}

//! Prints `docs/waf-expressions.md`.

fn main() {
    print!("{}", cnx_waf::expression::docs::markdown());
}

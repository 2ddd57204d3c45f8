//! Prints `docs/seclang.md`.

fn main() {
    print!("{}", cnx_waf::docs::markdown());
}

//! The documentation is what the tables say.

#[test]
fn the_document_is_fresh() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/seclang.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == cnx_waf::docs::markdown(),
        "docs/seclang.md is stale: cargo run -p cnx-waf --example seclang_docs > docs/seclang.md"
    );
}

#[test]
fn the_document_of_expressions_is_fresh() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/waf-expressions.md");
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == cnx_waf::expression::docs::markdown(),
        "docs/waf-expressions.md is stale: cargo run -p cnx-waf --example expression_docs > docs/waf-expressions.md"
    );
}

//! Text of others, for an element.

use blockd_nbd::printable;

/// The text as HTML: no markup, and no character that a browser obeys.
pub(super) fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for each in printable(text).chars() {
        match each {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            each => html.push(each),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_not_markup() {
        let text = "<script>a && \"b'</script>\n\u{202e}";
        let html = "&lt;script&gt;a &amp;&amp; &quot;b&#39;&lt;/script&gt;\\n\\u{202e}";
        assert_eq!(escaped(text), html);
    }
}

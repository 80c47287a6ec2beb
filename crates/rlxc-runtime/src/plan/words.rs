/// Splits a command at blanks; `'…'` and `"…"` keep blanks within a word.
///
/// An unclosed quote reaches to the end.
pub fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_ascii_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::split_words;

    #[test]
    fn quotes_keep_blanks() {
        assert_eq!(split_words("a 'b c' \"d\"e ''"), ["a", "b c", "de", ""]);
        assert_eq!(split_words("  "), Vec::<String>::new());
        assert_eq!(split_words("x 'y z"), ["x", "y z"]);
    }
}

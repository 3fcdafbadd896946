//! One word: split, read as a JSON array, expanded in each of the ways there are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rbuild::base::SourceId;
use rbuild::dockerfile::{
    EXPANSION_LIMIT, Expander, Scope, Text, blank_words, exec_form, marker, quoted_words,
};

fuzz_target!(|raw: &str| {
    let mut scope = Scope::new();
    scope.set("a", "x/y*é.tar.gz");
    scope.set("b", "");
    scope.set("PATH", "/usr/bin:/bin");
    let text = Text::contiguous(SourceId(0), raw, 0);
    for word in blank_words(&text) {
        assert_eq!(&raw[word.span.range()], word.raw);
    }
    let _ = exec_form(&text);
    let _ = marker(raw);
    for escape in ['\\', '`'] {
        for (word, range) in quoted_words(&text, escape) {
            assert!(raw.get(range).is_some() && raw.get(word.span.range()).is_some(), "{word:?}");
        }
        let mut expander = Expander::new(escape);
        let word = expander.word(raw, &scope);
        let list = expander.list(raw, &scope);
        assert_eq!(word.is_ok(), list.is_ok());
        if let Ok(word) = word {
            assert!(word.len() <= EXPANSION_LIMIT);
            if !raw.contains(['$', '"', '\'', '\\', '`']) {
                assert_eq!(word, raw);
            }
        }
        let _ = expander.heredoc(raw, &scope);
    }
});

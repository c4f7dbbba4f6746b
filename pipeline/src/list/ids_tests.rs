use super::*;

fn texts(ids: &[RecordId]) -> Vec<&str> {
    ids.iter().map(RecordId::as_text).collect()
}

#[test]
fn ids_are_read_as_people_write_them() {
    let ids = of_text("7, \"7\",007\n a b ,-1.50\r\n\n1e3,null").unwrap();
    assert_eq!(texts(&ids), ["7", "\"7\"", "\"007\"", "\"a b\"", "-1.50", "1e3", "\"null\""]);
    assert_eq!(texts(&of_text(" [7, \"a,b\", \"7\"] ").unwrap()), ["7", "\"a,b\"", "\"7\""]);
    for text in ["\u{feff}7,8", "\u{feff}[7, 8]"] {
        assert_eq!(texts(&of_text(text).unwrap()), ["7", "8"]);
    }
    assert!(of_text(" \n").unwrap().is_empty());
    for (text, what) in [
        ("[7", "is none"),
        ("[null]", "not null"),
        ("\"a,b\"", "write all IDs as a JSON list"),
        ("..", "cannot be a path segment"),
    ] {
        let error = of_text(text).unwrap_err();
        assert!(error.contains(what), "{text}: {error}");
    }
}

fn read_all(path: &Path) -> Result<(Vec<String>, usize), String> {
    let (mut ids, mut cursor, mut number) = (Vec::new(), None, 1);
    loop {
        let page = of_file(path, number, cursor.as_deref())?;
        ids.extend(page.items.iter().map(|item| item.id.as_text().to_owned()));
        assert_eq!(page.last.is_some(), page.cursor.is_none());
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok((ids, usize::try_from(number).unwrap()));
        }
        number += 1;
    }
}

#[test]
fn files_are_read_page_by_page() {
    let path = std::env::temp_dir().join(format!("muster-ids-{}", std::process::id()));
    let expected: Vec<String> = (0..2500).map(|id| id.to_string()).collect();
    for (text, pages) in [
        (expected.join("\n"), 3),
        (format!("\n{}\r\n\n", expected.join("\r\n\r\n")), 3),
        (format!(" [ {} ]\n", expected.join(" , ")), 3),
        (format!("\u{feff}{}\r\n", expected.join("\r\n")), 3),
        (format!("\u{feff}[{}]", expected.join(",")), 3),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(read_all(&path), Ok((expected.clone(), pages)));
    }
    for (text, ids) in [
        ("", &[][..]),
        ("\u{feff}", &[]),
        ("[]", &[]),
        ("[\"a]\\\",b\",7]", &["\"a]\\\",b\"", "7"]),
        ("a,b\n \"7\"", &["\"a,b\"", "\"7\""]),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(read_all(&path), Ok((ids.iter().map(|id| (*id).to_owned()).collect(), 1)), "{text}");
    }
    for text in ["[7", "[7,]", "[7] 8", "[7 8]", "[,]", "[{}]"] {
        std::fs::write(&path, text).unwrap();
        assert!(read_all(&path).is_err(), "{text}");
    }
    std::fs::write(&path, "x".repeat(MAX_ENTRY + 1)).unwrap();
    assert!(read_all(&path).unwrap_err().contains("ID number 1: it is longer than 512 bytes"));
    std::fs::remove_file(&path).unwrap();
    assert!(read_all(&path).unwrap_err().contains("No such file"));
}

#[test]
fn a_file_that_changed_is_noticed() {
    let path = std::env::temp_dir().join(format!("muster-changed-{}", std::process::id()));
    let ids: Vec<String> = (1000..3000).map(|id| id.to_string()).collect();
    std::fs::write(&path, ids.join("\n")).unwrap();
    let cursor = of_file(&path, 1, None).unwrap().cursor;
    assert_eq!(of_file(&path, 2, cursor.as_deref()).unwrap().items[0].id.as_text(), "2000");
    std::fs::write(&path, ids.join("\n").replace("2999", "2998")).unwrap();
    assert!(of_file(&path, 2, cursor.as_deref()).unwrap_err().contains("has changed"));
    std::fs::remove_file(&path).unwrap();
}

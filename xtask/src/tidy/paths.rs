//! The rule that nothing in the repository names a folder of somebody's machine.

use super::Violation;
use super::lexer::is_word;
use super::tree::File;

/// First folders of absolute paths that exist on one machine and not on the next.
const FOLDERS: &[&str] = &["Users", "home", "root", "tmp", "work"];

/// No absolute path of a machine stands outside the tests.
pub(super) fn no_path_of_a_machine(file: &File) -> Vec<Violation> {
    if file.is_test() || file.path == "Cargo.lock" {
        return Vec::new();
    }
    let lines = file.without_unit_tests().lines().enumerate();
    let named = lines.filter_map(|(number, line)| Some((number, machine_path(line)?)));
    let complain = |(number, folder)| {
        let message = format!("names /{folder}, a folder of one machine; use a relative path");
        Violation::at(&file.path, number + 1, message)
    };
    named.map(complain).collect()
}

/// The first folder of an absolute path in the line, if it is one of the list.
fn machine_path(line: &str) -> Option<&'static str> {
    line.match_indices('/').find_map(|(slash, _)| {
        // A slash after any of these goes on with a path or an address that began before it.
        let before = line[..slash].chars().next_back();
        if before.is_some_and(|c| is_word(c) || "./-~:})>$*]".contains(c)) {
            return None;
        }
        let rest = &line[slash + 1..];
        FOLDERS.iter().copied().find(|folder| {
            rest.strip_prefix(folder)
                .is_some_and(|rest| !rest.chars().next().is_some_and(|c| is_word(c) || c == '-'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::file;
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        no_path_of_a_machine(&file(path, text)).len()
    }

    #[test]
    fn absolute_paths_are_found() {
        for text in ["open(\"/home/me/x\")", "dir = '/work'", "see /tmp/a", "/root/b", "(/tmp)"] {
            assert_eq!(complaints("crates/nn/src/a.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn relative_paths_addresses_and_other_words_are_not() {
        for text in [
            "https://a.example/home/x",
            "crates/work/x",
            "{dir}/tmp/x",
            "/workspace",
            "./tmp",
            "and/or",
            "/home-made",
        ] {
            assert_eq!(complaints("crates/nn/src/a.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn tests_may_name_what_they_like() {
        assert_eq!(complaints("crates/nn/tests/a.rs", "/tmp"), 0);
        assert_eq!(complaints("a.rs", "x\n#[cfg(test)]\nmod tests {\n/tmp\n}"), 0);
        assert_eq!(complaints("a.rs", "/tmp\n#[cfg(test)]\nmod tests {}"), 1);
    }
}

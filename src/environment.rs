//! What a job inherits: the environment that its client gave, and what tells programs the truth about where they run.
//!
//! There is no terminal and nobody at a keyboard, so that an editor that takes over the screen would run for ever. Git is
//! asked which editor it would take when it needs one, since that may be in a configuration file or on the command line; any
//! that needs no screen runs. A command that sets one of these variables itself has its way.

use std::ffi::OsStr;

use crate::process::spawn::Variables;
use crate::process::system::UTF8_LOCALE;

/// Editors that need a terminal, as alternatives of a shell's `case`.
const SCREEN_EDITORS: &str = "vi|vim|vim.*|nvim|view|vimdiff|elvis|nvi|nano|pico|rnano|emacs|emacsclient|mg|jmacs|joe|jed|\
                              ne|mcedit|micro|hx|helix|kak|tilde|editor|sensible-editor|select-editor";

/// What a failure to edit is answered with.
const NO_TERMINAL: &str =
    "no terminal to edit in: use an option like -m or --no-edit, or set EDITOR to a command";

/// Holds [`GIT_EDIT`], so that git, which quotes the whole editor when it fails, quotes a short one.
const GIT_EDIT_VARIABLE: &str = "BACKGROUND_COMMAND_MCP_GIT_EDIT";

/// Run by git's shell with the name of the variable that led here and the files to edit.
const GIT_EDIT: &str = r#"variable=$1; shift; unset "$variable"
editor=$(TERM=vt100 git var "$variable" 2>/dev/null || TERM=vt100 git var GIT_EDITOR) || exit
set -f
for word in $editor; do case $word in *=*|env|exec|command) ;; *) break ;; esac; done
set +f
word=${word##*/} word=${word#[\"\']} word=${word%[\"\']}
case " $editor " in *" -es "*|*" -Es "*|*" --batch "*|*" -batch "*) word= ;; esac
case $word in SCREEN_EDITORS) echo 'NO_TERMINAL' >&2; exit 1 ;; esac
eval "$editor \"\$@\"""#;

/// The environment of a job whose client gave this one.
pub fn of_jobs(inherited: &Variables) -> Variables {
    let mut variables = inherited.clone();
    let value = |name: &str| inherited.get(OsStr::new(name)).filter(|value| !value.is_empty());
    let mut set = |name: &str, value: &str| drop(variables.insert(name.into(), value.into()));
    set("TERM", "dumb");
    if value("PYTHONUNBUFFERED").is_none() {
        set("PYTHONUNBUFFERED", "1");
    }
    if ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().all(|name| value(name).is_none()) {
        set(UTF8_LOCALE.0, UTF8_LOCALE.1);
    }
    let cannot_run = |name: &str| value(name).is_none_or(|editor| is_for_a_screen(editor));
    for name in ["GIT_EDITOR", "GIT_SEQUENCE_EDITOR"] {
        if cannot_run(name) {
            set(name, &format!("edit() {{ eval \"${{{GIT_EDIT_VARIABLE}?}}\"; }}; edit {name}"));
        }
    }
    let git_edit = GIT_EDIT.replace("SCREEN_EDITORS", SCREEN_EDITORS);
    set(GIT_EDIT_VARIABLE, &git_edit.replace("NO_TERMINAL", NO_TERMINAL));
    if cannot_run("EDITOR") {
        set("EDITOR", &format!("sh -c \"echo '{NO_TERMINAL}' >&2; exit 1\""));
    }
    if cannot_run("VISUAL") {
        // Not replaced: programs prefer it to EDITOR, which a command may set.
        variables.remove(OsStr::new("VISUAL"));
    }
    variables
}

/// Whether this command is an editor that takes over a terminal: what [`GIT_EDIT`] does in a shell.
fn is_for_a_screen(editor: &OsStr) -> bool {
    let editor = editor.to_string_lossy();
    let mut words = editor.split_whitespace();
    let program =
        words.find(|word| !word.contains('=') && !["env", "exec", "command"].contains(word));
    let program = program.unwrap_or_default().trim_matches(['"', '\'']);
    let name = program.rsplit('/').next().unwrap_or(program);
    let mut editors = SCREEN_EDITORS.split('|');
    let is_known = editors.any(|editor| match editor.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == editor,
    });
    is_known && !words.any(|word| ["-es", "-Es", "--batch", "-batch"].contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_that_need_a_terminal_are_told_from_others() {
        for editor in [
            "vim",
            "/usr/bin/vi",
            "vim.tiny",
            "emacs -nw",
            "env X=1 nano -w",
            "\"/opt/nvim\" +1",
            "LANG=C joe",
        ] {
            assert!(is_for_a_screen(OsStr::new(editor)), "{editor}");
        }
        for editor in [
            "true",
            "code --wait",
            "emacs --batch -l x",
            "vim -es",
            "sed -i s/pick/edit/",
            "/vim/edit",
            ":",
        ] {
            assert!(!is_for_a_screen(OsStr::new(editor)), "{editor}");
        }
    }

    #[test]
    fn what_is_set_stays() {
        let of_job = |own: &[(&str, &str)], name: &str| {
            let own = own.iter().map(|(name, value)| (name.into(), value.into()));
            let value = of_jobs(&own.collect()).remove(OsStr::new(name));
            value.map(|value| value.into_string().unwrap_or_default())
        };
        let is = |value: &str| Some(value.to_owned());
        assert_eq!(of_job(&[("PYTHONUNBUFFERED", "0")], "PYTHONUNBUFFERED"), is("0"));
        assert_eq!(of_job(&[("PYTHONUNBUFFERED", "")], "PYTHONUNBUFFERED"), is("1"));
        assert_eq!(of_job(&[("VISUAL", "x")], "VISUAL"), is("x"));
        assert_eq!(of_job(&[("VISUAL", "vim")], "VISUAL"), None);
        assert_eq!(of_job(&[("EMPTY", "")], "EMPTY"), is(""));
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            assert_eq!(of_job(&[(name, "de_DE.UTF-8")], name), is("de_DE.UTF-8"), "{name}");
        }
        assert_eq!(of_job(&[("LC_ALL", "C")], "LANG"), None);
        for name in ["EDITOR", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR"] {
            assert_eq!(of_job(&[(name, "code --wait")], name), is("code --wait"), "{name}");
        }
    }
}

//! What models call parameters: the names that are understood, and what was meant by one that there is not.

/// What models call parameters besides their names, and are understood.
const ALIASES: &[(&str, &str)] = &[("command", "cmd"), ("id", "ref_id")];

/// What other tools call our parameters: words of their names, and ours.
const OTHER_NAMES: &[(&[&str], &[&str])] = &[
    (
        &["timeout", "timeouts", "deadline", "ttl"],
        &["kill_after_seconds", "wait_seconds", "grace_seconds"],
    ),
    (&["wait", "block", "blocking"], &["wait_seconds"]),
    (&["grace"], &["grace_seconds"]),
    (&["keep", "retain", "preserve"], &["keep_result"]),
    (
        &[
            "dir",
            "directory",
            "folder",
            "path",
            "workdir",
            "workingdir",
            "wd",
            "pwd",
        ],
        &["cwd"],
    ),
    (&["input"], &["stdin"]),
    (
        &[
            "pattern", "regex", "regexp", "match", "grep", "filter", "until",
        ],
        &["until_pattern"],
    ),
    (&["offset", "since", "after", "position"], &["cursor"]),
    (
        &["lines", "limit", "length", "chars", "max", "tail", "size"],
        &["max_chars"],
    ),
    (&["script", "code", "commands", "cmdline", "exec"], &["cmd"]),
    (
        &[
            "id", "ids", "pid", "job", "process", "task", "bash", "shell", "session", "uuid",
            "handle", "ref",
        ],
        &["ref_id"],
    ),
];

/// What other tools take and these do not need, and what to do.
const NEEDLESS: &[(&[&str], &str)] = &[
    (
        &["env", "environment"],
        "leave it out, and set variables in the command, like NAME=value command",
    ),
    (
        &["background", "detach", "async"],
        "leave it out, since every command runs in the background",
    ),
    (
        &["description", "explanation", "reason", "title", "name"],
        "leave it out",
    ),
    (
        &["shell", "interpreter"],
        "leave it out, and name another shell in the command, like bash -c '…'",
    ),
];

/// What an unknown parameter was meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    Parameter(&'a str),
    /// There is none for it, and why none is needed.
    LeaveOut(&'a str),
    Nothing,
}

impl Meaning<'static> {
    /// What was probably meant: a parameter that is spelled alike, or that others call so. Never one that was given.
    pub(super) fn of(unknown: &str, known: &[&'static str], given: &[String]) -> Self {
        let words = words(unknown);
        let name = words.join("_");
        let alike = |known: &str| strsim::jaro_winkler(&name, known);
        let is_given = |known: &str| given.iter().any(|given| given == known);
        let nearest = known
            .iter()
            .copied()
            .max_by(|a, b| alike(a).total_cmp(&alike(b)))
            .filter(|nearest| !is_given(nearest));
        let spelled = |least: f64| nearest.filter(|nearest| alike(nearest) > least);
        if let Some(nearest) = spelled(0.85) {
            return Meaning::Parameter(nearest);
        }
        let is_said = |said: &&str| words.iter().any(|word| word == said);
        let ours = OTHER_NAMES
            .iter()
            .filter(|(others, _)| others.iter().any(is_said))
            .flat_map(|(_, ours)| *ours)
            .find(|ours| known.contains(ours) && !is_given(ours));
        if let Some(ours) = ours {
            return Meaning::Parameter(ours);
        }
        let needless = NEEDLESS
            .iter()
            .find(|(others, _)| others.iter().any(is_said));
        match (needless, spelled(0.7)) {
            (Some((_, why)), _) => Meaning::LeaveOut(why),
            (None, Some(nearest)) => Meaning::Parameter(nearest),
            (None, None) => Meaning::Nothing,
        }
    }
}

/// The words of a name, split at `_` and the like, and where a capital follows a small letter.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = '_';
    // A name of megabytes is not looked at as a whole.
    for char in name.chars().take(100) {
        if !char.is_alphanumeric() || (char.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if char.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(char.to_lowercase());
        }
        before = char;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The parameter that is called so, if it is one of those names.
pub(super) fn real_name(name: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map_or(name, |(_, real)| *real)
}

/// What else a parameter is called.
pub(super) fn aliases(name: &str) -> impl Iterator<Item = &str> {
    let others = ALIASES.iter().filter(move |(_, real)| *real == name);
    others.map(|(alias, _)| *alias)
}

//! `slugline completions` and `slugline man`: made of the command line itself.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

/// `slugline completions`
#[derive(Debug, Args)]
#[command(after_help = "Example:
  slugline completions bash > /etc/bash_completion.d/slugline")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// `slugline man`
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  slugline man | man -l -
  slugline man --output /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Write the pages of all commands to this folder, instead of the first one to standard output
    #[arg(long, short, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// Prints the completions of a shell.
pub fn completions(
    args: &CompletionsArgs,
    command: &Command,
    mut out: impl Write,
) -> anyhow::Result<()> {
    // The generator offers hidden commands, too.
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let mut command = Command::new("slugline")
        .version(env!("CARGO_PKG_VERSION"))
        .args(command.get_arguments().cloned())
        .subcommands(shown.collect::<Vec<_>>());
    // The generator panics if it can't write, for example to a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "slugline", &mut script);
    Ok(out.write_all(&script)?)
}

/// Prints the manual page, or writes those of all commands.
pub fn man(args: &ManArgs, command: Command, mut out: impl Write) -> anyhow::Result<()> {
    match &args.output {
        None => Ok(Man::new(command).render(&mut out)?),
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            Ok(clap_mangen::generate_to(command, folder)?)
        }
    }
}

//! `hallmark schema`: the published JSON schemas.

use hallmark_catalogue::suggest;
use hallmark_report::schema::{NAMES, schema};

use crate::failure::{Done, Failure};
use crate::printed;

/// Prints a published JSON schema, or their names.
#[derive(clap::Args, Debug)]
pub(crate) struct SchemaArgs {
    /// Which one.
    #[arg(value_name = "NAME")]
    name: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: &SchemaArgs) -> Done {
    let Some(name) = &args.name else { return printed(&format!("{}\n", NAMES.join("\n"))) };
    match schema(name) {
        Some(text) => printed(text),
        None => {
            let hint = suggest::did_you_mean(name, NAMES);
            Err(Failure::usage(format!("no schema is called `{name}`{hint}; there are {}", NAMES.join(", "))))
        }
    }
}

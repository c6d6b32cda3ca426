//! Mutates inputs of a target for a while and keeps those that fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hallmark_fuzz::{Mutator, TARGETS, Target, corpus, seeds, stored, target};

/// An input that takes longer is reported.
const SLOW: Duration = Duration::from_secs(2);

const USAGE: &str = "usage: mutate --target NAME|all [--secs N] [--seed S] [--findings FOLDER]
       mutate --target NAME --replay FILE
       mutate --target NAME|all --write-seeds";

struct Arguments {
    targets: Vec<&'static Target>,
    secs: u64,
    seed: u64,
    findings: PathBuf,
    replay: Option<PathBuf>,
    write_seeds: bool,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(error) => {
            say(&format!("{error}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let mut findings = 0;
    for target in &arguments.targets {
        let result = if arguments.write_seeds {
            write_seeds(target)
        } else if let Some(file) = &arguments.replay {
            std::fs::read(file).map(|input| {
                (target.run)(&input);
                0
            })
        } else {
            mutate(target, &arguments)
        };
        match result {
            Ok(found) => findings += found,
            Err(error) => {
                say(&format!("{}: {error}", target.name));
                return ExitCode::from(2);
            }
        }
    }
    if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::print_stdout, reason = "what was found is the output of this program")]
fn say(text: &str) {
    println!("{text}");
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        targets: Vec::new(),
        secs: 60,
        seed: 1,
        findings: PathBuf::from("target/fuzz-findings"),
        replay: None,
        write_seeds: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--write-seeds" {
            arguments.write_seeds = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: {value} is no number"));
        match word.as_str() {
            "--target" if value == "all" => arguments.targets = TARGETS.iter().collect(),
            "--target" => arguments.targets = vec![target(&value).ok_or_else(|| unknown(&value))?],
            "--secs" => arguments.secs = number()?,
            "--seed" => arguments.seed = number()?,
            "--findings" => arguments.findings = PathBuf::from(value),
            "--replay" => arguments.replay = Some(PathBuf::from(value)),
            _ => return Err(format!("{word} is not known")),
        }
    }
    if arguments.targets.is_empty() {
        return Err("which target?".to_owned());
    }
    Ok(arguments)
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    format!("no target is called {name}; there are {}", names.join(", "))
}

fn write_seeds(target: &Target) -> std::io::Result<u64> {
    let folder = corpus(target.name);
    std::fs::create_dir_all(&folder)?;
    let seeds = seeds(target.name);
    for (name, input) in &seeds {
        std::fs::write(folder.join(name), input)?;
    }
    say(&format!("{}: {} seeds", target.name, seeds.len()));
    Ok(0)
}

fn mutate(target: &Target, arguments: &Arguments) -> std::io::Result<u64> {
    let pool = stored(target.name)?.into_iter().map(|(_, input)| input).collect();
    let mut mutator = Mutator::new(arguments.seed, pool, target.words);
    let message = Arc::new(Mutex::new(String::new()));
    let heard = Arc::clone(&message);
    std::panic::set_hook(Box::new(move |info| {
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
    }));
    let begin = Instant::now();
    let (mut executions, mut findings) = (0_u64, 0_u64);
    let mut places = std::collections::BTreeSet::new();
    while begin.elapsed() < Duration::from_secs(arguments.secs) {
        let input = mutator.next_input();
        let one = Instant::now();
        let failed = catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).is_err();
        executions += 1;
        if one.elapsed() > SLOW {
            say(&format!("{}: slow: {:?}, kept in {}", target.name, one.elapsed(), keep(target, arguments, &input)?));
            findings += 1;
        }
        if failed {
            let text = message.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // One finding for each place, not for each input that leads there.
            let place = text.lines().next().unwrap_or_default().to_owned();
            if places.insert(place) {
                findings += 1;
                say(&format!("{}: {text}\n  kept in {}", target.name, keep(target, arguments, &input)?));
            }
        }
    }
    let _ = std::panic::take_hook();
    let secs = begin.elapsed().as_secs_f64();
    say(&format!(
        "{}: {executions} executions in {secs:.1} s ({:.0}/s), seed {}, {findings} findings",
        target.name,
        executions as f64 / secs,
        arguments.seed
    ));
    Ok(findings)
}

fn keep(target: &Target, arguments: &Arguments, input: &[u8]) -> std::io::Result<String> {
    std::fs::create_dir_all(&arguments.findings)?;
    // FNV-1a: a name that the same input always gets.
    let name = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3));
    let path = Path::new(&arguments.findings).join(format!("{}-{name:016x}", target.name));
    std::fs::write(&path, input)?;
    Ok(path.display().to_string())
}

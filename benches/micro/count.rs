//! `count` alone lists the parts; `count NAME ROUNDS` does one of them so many times. `./counts` runs it
//! under callgrind with one round and with two: the difference is what a round costs.

mod work;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        for part in work::PARTS {
            println!("{}", part.name);
        }
        return;
    };
    let rounds: u32 = arguments.next().and_then(|n| n.parse().ok()).expect("rounds");
    let part = work::PARTS.iter().find(|part| part.name == name).expect("a part of this name");
    let place = tempfile::tempdir().expect("a folder");
    let mut round = (part.make)(place.path());
    for _ in 0..rounds {
        round();
    }
}

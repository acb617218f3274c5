//! Whose turn it is: smooth weighted round robin.
//!
//! With each decision everybody who is free gains credit by weight; who has most gets the lead and pays what all have
//! gained. Over as many decisions as the weights add up to, each gets as many as the own weight, spread evenly. The
//! credit of a rep who is not free stands still: absence is neither punished nor made up for. The algorithm is that of
//! nginx's upstream balancer (`ngx_http_upstream_round_robin`), without its failure counting.

use tasuki_playbook::reps::{Pool, Rep};

use crate::state::Turn;

/// The rep whose turn it is among those free; of equals, the one who stands first in the file. `None` if nobody is.
pub(crate) fn next<'p>(turns: &mut Vec<Turn>, pool: &'p Pool, is_free: impl Fn(&Rep) -> bool) -> Option<&'p Rep> {
    turns.retain(|turn| pool.reps.iter().any(|rep| rep.id == turn.rep_id));
    let mut gained = 0;
    let mut best: Option<(i64, &Rep)> = None;
    for rep in pool.reps.iter().filter(|rep| is_free(rep)) {
        let weight = i64::from(rep.weight);
        gained += weight;
        let credit = credit(turns, &rep.id);
        *credit += weight;
        if best.is_none_or(|(most, _)| *credit > most) {
            best = Some((*credit, rep));
        }
    }
    let (_, chosen) = best?;
    *credit(turns, &chosen.id) -= gained;
    Some(chosen)
}

fn credit<'t>(turns: &'t mut Vec<Turn>, rep_id: &str) -> &'t mut i64 {
    let index = match turns.iter().position(|turn| turn.rep_id == rep_id) {
        Some(index) => index,
        None => {
            turns.push(Turn { rep_id: rep_id.to_owned(), credit: 0 });
            turns.len() - 1
        }
    };
    &mut turns[index].credit
}

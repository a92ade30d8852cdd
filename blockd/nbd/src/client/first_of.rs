//! The same question to several servers, one after the other with a head start.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;

/// How long an attempt runs before the next one is started beside it.
const HEAD_START: Duration = Duration::from_millis(500);

/// The result of the first of several attempts that succeeds.
///
/// The next attempt is started when one has failed, or when none has finished
/// for half a second; those before it go on. When one succeeds, the others are
/// dropped. (The algorithm of RFC 8305, "Happy Eyeballs", for servers.)
///
/// # Errors
///
/// If all attempts fail, or there is none: the error of each, in the order in
/// which they failed.
pub async fn first_of<T, E, F>(attempts: impl IntoIterator<Item = F>) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let (mut waiting, mut running) = (attempts.into_iter(), FuturesUnordered::new());
    let mut reasons = Vec::new();
    loop {
        running.extend(waiting.next());
        match timeout(HEAD_START, running.next()).await {
            Ok(Some(Ok(found))) => return Ok(found),
            Ok(Some(Err(reason))) => reasons.push(reason),
            Ok(None) => return Err(reasons),
            Err(_elapsed) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::future::{BoxFuture, FutureExt};
    use tokio::time::sleep;

    use super::*;

    type Attempt = BoxFuture<'static, Result<u8, &'static str>>;

    fn late(outcome: Result<u8, &'static str>) -> Attempt {
        let wait = sleep(HEAD_START.saturating_mul(3));
        wait.map(move |()| outcome).boxed()
    }

    #[tokio::test]
    async fn the_next_is_not_asked_when_the_first_answers() {
        let ask = |number| {
            assert_eq!(number, 1, "the second is asked");
            ready(Ok::<_, ()>(number))
        };
        assert_eq!(first_of([1, 2].into_iter().map(ask)).await, Ok(1));
    }

    #[tokio::test]
    async fn the_next_is_asked_after_a_failure_and_after_silence() {
        let refused = ready(Err("refused")).boxed();
        let silent = pending().boxed();
        let answers = ready(Ok(3)).boxed();
        assert_eq!(first_of([refused, silent, answers]).await, Ok(3));
    }

    #[tokio::test]
    async fn a_slow_attempt_may_still_succeed() {
        assert_eq!(first_of([late(Ok(1)), pending().boxed()]).await, Ok(1));
    }

    #[tokio::test]
    async fn all_errors_are_returned_when_all_fail() {
        let all = [late(Err("slow")), ready(Err("quick")).boxed()];
        assert_eq!(first_of(all).await, Err(vec!["quick", "slow"]));
        assert_eq!(first_of(Vec::<Attempt>::new()).await, Err(vec![]));
    }
}

//! Several servers asked for one thing.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::time::timeout;

/// How long one is waited for alone.
const HEAD_START: Duration = Duration::from_millis(500);

/// The first of several attempts that succeeds. The next one begins when one
/// has failed, or nothing was heard for half a second; what has not ended then
/// is dropped.
///
/// # Errors
///
/// What each failed of, in the order in which they did.
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
            Err(_silent) => {}
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
    async fn who_answers_is_the_only_one_asked() {
        let ask = |number| {
            assert_eq!(number, 1, "the second is asked");
            ready(Ok::<_, ()>(number))
        };
        assert_eq!(first_of([1, 2].into_iter().map(ask)).await, Ok(1));
    }

    #[tokio::test]
    async fn after_a_failure_and_after_silence_the_next_is_asked() {
        let refused = ready(Err("refused")).boxed();
        let silent = pending().boxed();
        let answers = ready(Ok(3)).boxed();
        assert_eq!(first_of([refused, silent, answers]).await, Ok(3));
    }

    #[tokio::test]
    async fn who_was_silent_may_still_be_the_first() {
        assert_eq!(first_of([late(Ok(1)), pending().boxed()]).await, Ok(1));
    }

    #[tokio::test]
    async fn where_all_fail_each_has_its_reason() {
        let all = [late(Err("slow")), ready(Err("quick")).boxed()];
        assert_eq!(first_of(all).await, Err(vec!["quick", "slow"]));
        assert_eq!(first_of(Vec::<Attempt>::new()).await, Err(vec![]));
    }
}

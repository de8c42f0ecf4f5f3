//! A server whose broker can never work.

use sio_redis::Redis;
use sio_server::Server;

#[tokio::test]
async fn a_url_that_is_none_is_an_error_of_the_start() {
    let bound = Server::new()
        .cluster(Redis::url("nonsense"))
        .bind("127.0.0.1:0")
        .await;
    let error = bound.err().expect("it cannot be used");
    assert!(
        error
            .to_string()
            .starts_with("the cluster's broker cannot be used")
    );
}

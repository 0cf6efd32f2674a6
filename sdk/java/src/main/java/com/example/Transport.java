package com.example;

import static java.net.http.HttpRequest.BodyPublishers.noBody;
import static java.net.http.HttpRequest.BodyPublishers.ofByteArray;

import java.io.IOException;
import java.net.ProtocolException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/** Sends calls to one API, again where that is safe, and turns all that goes wrong into our exceptions. */
final class Transport {
    /** Of an answer, in bytes: more than any answer of the API has, and less than hurts. */
    static final int LARGEST_ANSWER = 64 * 1024 * 1024;

    private static final String USER_AGENT = "task-scheduler-sdk-java/" + TaskSchedulerClient.VERSION;

    private final HttpClient http;
    private final String baseUrl;
    private final Secret secret;
    private final Duration connectTimeout;

    /** Throws IllegalArgumentException where {@code baseUrl} is not the address of an API. */
    Transport(String baseUrl, Secret secret, Duration connectTimeout) {
        this.baseUrl = BaseUrl.checked(baseUrl);
        this.secret = secret;
        this.connectTimeout = connectTimeout;
        // HTTP/1.1, for the API speaks no other; redirects are not followed unless asked for.
        this.http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(connectTimeout).build();
    }

    /** The address of the API, without a slash at its end. */
    String baseUrl() {
        return baseUrl;
    }

    /** Returns the answer to a call, which is a success. Throws TaskSchedulerException. */
    Answer send(Call call) {
        long deadline = System.nanoTime() + call.timeout().toNanos();
        for (int tries = 1;; tries++) {
            try {
                return sendOnce(call, deadline);
            } catch (TaskSchedulerException error) {
                Duration pause = Retries.pause(call, error, tries, left(deadline));
                if (pause == null) {
                    throw error;
                }
                sleep(pause, call.name());
            }
        }
    }

    /** Sleeps. Throws InterruptedCallException, with the flag of the thread set again. */
    static void sleep(Duration pause, String doing) {
        try {
            TimeUnit.NANOSECONDS.sleep(pause.toNanos());
        } catch (InterruptedException error) {
            throw interrupted(doing, error);
        }
    }

    private Answer sendOnce(Call call, long deadline) {
        // The time-out of HttpRequest ends with the headers of the answer; this one ends with its last byte.
        CompletableFuture<HttpResponse<byte[]>> exchange =
            http.sendAsync(request(call), head -> new BoundedBody(LARGEST_ANSWER));
        try {
            HttpResponse<byte[]> response = exchange.get(left(deadline).toNanos(), TimeUnit.NANOSECONDS);
            return checked(new Answer(call.name(), response.statusCode(), response.headers(), response.body()));
        } catch (TimeoutException error) {
            exchange.cancel(true);
            throw new RequestTimeoutException(
                call.name() + ": no whole answer within " + call.timeout().toMillis()
                    + " ms; see whether it was done before sending it again, or allow more with RequestOption.timeout");
        } catch (InterruptedException error) {
            exchange.cancel(true);
            throw interrupted(call.name(), error);
        } catch (ExecutionException error) {
            throw translated(call, error.getCause());
        }
    }

    private HttpRequest request(Call call) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(baseUrl + call.path()))
            .method(call.method(), call.body() == null ? noBody() : ofByteArray(call.body()))
            .header("Authorization", secret.authorization())
            .header("Accept", "application/json")
            .header("User-Agent", USER_AGENT);
        if (call.body() != null) {
            request.header("Content-Type", "application/json");
        }
        call.headers().forEach(request::header);
        return request.build();
    }

    private Answer checked(Answer answer) {
        if (!answer.isSuccess()) {
            throw Problem.read(answer, secret).exception();
        }
        return answer;
    }

    private TaskSchedulerException translated(Call call, Throwable cause) {
        String what = call.name() + ": ";
        if (cause instanceof BoundedBody.TooLarge) {
            return new MalformedAnswerException(
                what + "the answer is larger than " + LARGEST_ANSWER
                    + " bytes; ask for less at a time, and check baseUrl");
        }
        if (cause instanceof HttpConnectTimeoutException) {
            return new ConnectException(
                what + "no connection to " + baseUrl + " within " + connectTimeout.toMillis()
                    + " ms; check baseUrl, firewalls and the way there", secret.unlessTold(cause));
        }
        if (cause instanceof ProtocolException) {
            return new MalformedAnswerException(what + baseUrl + " does not speak HTTP; check baseUrl and its port");
        }
        String reason = cause instanceof IOException ? cause.getClass().getSimpleName() : cause.toString();
        return new ConnectException(
            secret.hide(what + "no connection to " + baseUrl + ", or it was cut (" + reason
                + "); check baseUrl, its certificate, and that the API runs"), secret.unlessTold(cause));
    }

    private static InterruptedCallException interrupted(String doing, InterruptedException error) {
        Thread.currentThread().interrupt();
        return new InterruptedCallException(
            doing + ": the thread was interrupted; see whether it was done before doing it again", error);
    }

    private static Duration left(long deadline) {
        return Duration.ofNanos(Math.max(0, deadline - System.nanoTime()));
    }
}

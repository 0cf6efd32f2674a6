package com.example;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * A server that answers each connection with the next of its answers, byte for byte, and closes it; the last one is for
 * all that follow. It keeps what it was asked.
 */
final class BadServer implements AutoCloseable {
    /** Instead of an answer: the connection stays open and nothing comes. */
    static final String SILENCE = "silence";

    /** Before an answer: after it the connection stays open. */
    static final String PAUSE = "pause:";

    private final ServerSocket socket;
    private final Deque<String> answers;
    private final List<String> requests = Collections.synchronizedList(new ArrayList<>());
    private final List<Socket> silent = Collections.synchronizedList(new ArrayList<>());
    private final CountDownLatch asked = new CountDownLatch(1);

    BadServer(String... answers) {
        this.answers = new ArrayDeque<>(Arrays.asList(answers));
        try {
            socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        Thread thread = new Thread(this::serve, "bad server");
        thread.setDaemon(true);
        thread.start();
    }

    /** A whole answer, with a body of JSON. */
    static String json(int status, String body) {
        return answer(status, "application/json", body);
    }

    /** A problem of the API. */
    static String problem(int status, String code, String... headers) {
        String body = "{\"title\": \"T\", \"status\": " + status + ", \"code\": \"" + code
            + "\", \"detail\": \"do this\", \"request_id\": \"r1\"}";
        return answer(status, "application/problem+json", body, headers);
    }

    static String answer(int status, String type, String body, String... headers) {
        StringBuilder answer = new StringBuilder("HTTP/1.1 " + status + " Phrase\r\nConnection: close\r\n");
        for (String header : headers) {
            answer.append(header).append("\r\n");
        }
        return answer.append("Content-Type: ").append(type).append("\r\nContent-Length: ")
            .append(body.getBytes(StandardCharsets.UTF_8).length).append("\r\n\r\n").append(body).toString();
    }

    String url() {
        return "http://127.0.0.1:" + socket.getLocalPort();
    }

    /** The requests so far: heads and bodies. */
    List<String> requests() {
        return List.copyOf(requests);
    }

    /** Waits for the first request. */
    void awaitRequest() throws InterruptedException {
        if (!asked.await(10, TimeUnit.SECONDS)) {
            throw new AssertionError("nobody has asked");
        }
    }

    @Override
    public void close() {
        try {
            socket.close();
            for (Socket connection : silent) {
                connection.close();
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void serve() {
        while (!socket.isClosed()) {
            try {
                Socket connection = socket.accept();
                requests.add(request(connection.getInputStream()));
                asked.countDown();
                reply(connection, answers.size() > 1 ? answers.poll() : answers.peek());
            } catch (IOException error) {
                // The client is gone, or the test is over: the next connection tells.
                continue;
            }
        }
    }

    private void reply(Socket connection, String answer) throws IOException {
        boolean open = answer.equals(SILENCE) || answer.startsWith(PAUSE);
        if (open) {
            silent.add(connection);
        }
        String bytes = answer.equals(SILENCE) ? "" : answer.substring(answer.startsWith(PAUSE) ? PAUSE.length() : 0);
        connection.getOutputStream().write(bytes.getBytes(StandardCharsets.UTF_8));
        connection.getOutputStream().flush();
        if (!open) {
            connection.close();
        }
    }

    private static String request(InputStream in) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        int missing = Integer.MAX_VALUE;
        while (missing > 0) {
            int one = in.read();
            if (one < 0) {
                break;
            }
            bytes.write(one);
            missing--;
            String text = bytes.toString(StandardCharsets.UTF_8);
            if (text.endsWith("\r\n\r\n") && !text.substring(0, text.length() - 4).contains("\r\n\r\n")) {
                missing = bodyLength(text);
            }
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private static int bodyLength(String head) {
        return head.lines()
            .filter(line -> line.toLowerCase(Locale.ROOT).startsWith("content-length:"))
            .mapToInt(line -> Integer.parseInt(line.substring(line.indexOf(':') + 1).trim()))
            .findFirst()
            .orElse(0);
    }
}

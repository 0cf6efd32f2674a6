package com.example;

import java.net.URI;
import java.net.URISyntaxException;

/** The address of an API: scheme, host, and perhaps a port and a prefix of the path. */
final class BaseUrl {
    private static final int LAST_PORT = 65_535;

    private BaseUrl() {
    }

    /**
     * The address without a slash at its end.
     *
     * @throws IllegalArgumentException where it is none; it says no user name, password or query that was given
     */
    static String checked(String given) {
        if (given == null) {
            throw new IllegalArgumentException("baseUrl is missing; give one as in https://api.example.com");
        }
        URI url = parsed(given);
        boolean http = "http".equalsIgnoreCase(url.getScheme()) || "https".equalsIgnoreCase(url.getScheme());
        if (http && url.getHost() == null && hasUnderscore(url.getRawAuthority())) {
            throw new IllegalArgumentException(
                "baseUrl has a '_' in its host, which host names do not have and Java does not take; give the host"
                    + " another name, such as an alias with '-', or its IP address");
        }
        if (!http || url.getHost() == null) {
            throw new IllegalArgumentException(
                "baseUrl is no http or https URL; give one as in https://api.example.com");
        }
        if (url.getRawUserInfo() != null || url.getRawQuery() != null || url.getRawFragment() != null) {
            throw new IllegalArgumentException(
                "baseUrl of " + url.getHost()
                    + " has a user, a query or a fragment; give scheme, host, port and path alone");
        }
        if (url.getPort() > LAST_PORT) {
            throw new IllegalArgumentException(
                "baseUrl has the port " + url.getPort() + "; give one of 1 to " + LAST_PORT + ", or none");
        }
        return given.replaceAll("/+$", "");
    }

    private static boolean hasUnderscore(String authority) {
        return authority != null && authority.indexOf('_', authority.lastIndexOf('@') + 1) >= 0;
    }

    private static URI parsed(String given) {
        try {
            return new URI(given);
        } catch (URISyntaxException error) {
            // Neither its message nor its cause: both quote what was given, which may hold a password.
            throw new IllegalArgumentException(
                "baseUrl is no URL (at character " + error.getIndex() + "); give one as in https://api.example.com");
        }
    }
}

package contract;

import com.example.ApiException;
import com.example.FieldProblem;
import com.example.Interval;
import com.example.Model;
import com.example.OpenEnum;
import com.example.Page;
import com.example.TaskPage;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeFormatter;
import java.time.format.DateTimeFormatterBuilder;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** Models and exceptions in the form in which the contract compares them. */
final class Canonical {
    /** Fields whose names here are not those of the API in another case. */
    private static final Map<String, String> NAMES = Map.of("last7Days", "last_7_days", "ownSwitch", "switch");

    /** Lists that the API leaves out where they have nothing; this SDK gives an empty one. */
    private static final Set<String> LEFT_OUT = Set.of("errors", "executionIds");

    private static final DateTimeFormatter INSTANT = new DateTimeFormatterBuilder().appendInstant(3).toFormatter();

    private Canonical() {
    }

    static Map<String, Object> nothing() {
        return line(null, null);
    }

    static Map<String, Object> text(String text) {
        return line(null, text);
    }

    static Map<String, Object> answer(Object answer) {
        if (answer == null) {
            return nothing();
        }
        if (answer instanceof List<?> items && !(answer instanceof Page<?>)) {
            return line(items.isEmpty() ? null : items.get(0).getClass().getSimpleName(), value(answer));
        }
        return line(answer.getClass().getSimpleName(), value(answer));
    }

    static Map<String, Object> error(RuntimeException error) {
        Optional<ApiException> answer =
            Optional.of(error).filter(ApiException.class::isInstance).map(ApiException.class::cast);
        StringWriter shown = new StringWriter();
        error.printStackTrace(new PrintWriter(shown, true));
        Map<String, Object> members = new LinkedHashMap<>();
        members.put("type", type(error));
        members.put("status", answer.map(ApiException::getStatus).orElse(null));
        members.put("code", answer.flatMap(ApiException::getCode).orElse(null));
        members.put("title", answer.flatMap(ApiException::getTitle).orElse(null));
        members.put("detail", answer.flatMap(ApiException::getDetail).orElse(null));
        members.put("request_id", answer.flatMap(ApiException::getRequestId).orElse(null));
        members.put("errors", answer.map(ApiException::getErrors).filter(errors -> !errors.isEmpty())
            .map(errors -> errors.stream().map(Canonical::field).toList()).orElse(null));
        members.put("extensions", answer.map(ApiException::getExtensions).orElse(Map.of()));
        members.put("retry_after", answer.flatMap(ApiException::getRetryAfter).map(Duration::toSeconds).orElse(null));
        members.put("message", error.getMessage());
        members.put("shown", shown.toString());
        return members;
    }

    private static String type(RuntimeException error) {
        String name = error.getClass().getSimpleName();
        boolean ours = error.getClass().getPackageName().equals("com.example");
        return ours ? name.replaceAll("Exception$", "Error") : name;
    }

    private static Map<String, Object> field(FieldProblem problem) {
        Map<String, Object> members = new LinkedHashMap<>();
        members.put("pointer", problem.getPointer().orElse(null));
        members.put("parameter", problem.getParameter().orElse(null));
        members.put("detail", problem.getDetail());
        return members;
    }

    private static Object value(Object value) {
        if (value instanceof Optional<?> optional) {
            return optional.map(Canonical::value).orElse(null);
        }
        if (value instanceof Instant instant) {
            return Map.of("$instant", INSTANT.format(instant.truncatedTo(ChronoUnit.MILLIS)));
        }
        if (value instanceof OpenEnum word) {
            return word.toString();
        }
        if (value instanceof Interval interval) {
            return interval.toMap();
        }
        return modelOrJson(value);
    }

    private static Object modelOrJson(Object value) {
        if (value instanceof Model model) {
            return model(model);
        }
        if (value instanceof Page<?> page) {
            return page(page);
        }
        return value instanceof List<?> items ? items.stream().map(Canonical::value).toList() : value;
    }

    private static Map<String, Object> page(Page<?> page) {
        Map<String, Object> members = new LinkedHashMap<>();
        members.put(page instanceof TaskPage ? "tasks" : "executions", page.stream().map(Canonical::value).toList());
        members.put("total", page.getTotal());
        members.put("limit", page.getLimit());
        members.put("offset", page.getOffset());
        if (page instanceof TaskPage tasks) {
            members.put("total_is_exact", tasks.isTotalIsExact());
        }
        return members;
    }

    private static Map<String, Object> model(Model model) {
        Map<String, Object> members = new LinkedHashMap<>();
        for (Field field : model.getClass().getDeclaredFields()) {
            if (!Modifier.isStatic(field.getModifiers())) {
                Object value = value(got(model, field.getName()));
                boolean leftOut = LEFT_OUT.contains(field.getName()) && List.of().equals(value);
                members.put(snake(field.getName()), leftOut ? null : value);
            }
        }
        return members;
    }

    /** What the getter of a field returns. */
    private static Object got(Model model, String field) {
        String name = Character.toUpperCase(field.charAt(0)) + field.substring(1);
        for (String getter : List.of("get" + name, "is" + name, field)) {
            try {
                return model.getClass().getMethod(getter).invoke(model);
            } catch (NoSuchMethodException error) {
                continue; // The next spelling, then.
            } catch (ReflectiveOperationException error) {
                throw new IllegalStateException(getter + " of " + model.getClass(), error);
            }
        }
        throw new IllegalStateException(model.getClass() + " has no getter of " + field);
    }

    private static String snake(String name) {
        return NAMES.getOrDefault(name, name.replaceAll("([A-Z])", "_$1").toLowerCase(Locale.ROOT));
    }

    private static Map<String, Object> line(String model, Object value) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("model", model);
        line.put("value", value);
        return line;
    }
}

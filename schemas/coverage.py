"""Tables of coverage: what was counted of every feature, and what the gates made of it."""

from schemas.columns import Table, make_table

__all__ = ["COVERAGE", "GATE_RESULTS", "HISTORY_COLUMNS", "UNHASHED"]

HISTORY_COLUMNS = (
    "psi",
    "js",
    "coverage_change",
    "coverage_change_low",
    "coverage_change_high",
    "reference",
    "first_ds",
)
"""Columns that say how a day differs from the days before it, as they stood when it was counted (S41); never hashed."""

UNHASHED = ("effective_rows", "mean", "std", "top_values", "top_weights", "top_share", *HISTORY_COLUMNS)
"""Columns that stay out of the content hash: sums of floats, which depend on their order, texts cut per task, and what looks back."""

COVERAGE: Table = make_table(
    "coverage",
    "ds x feature x slice x value",
    "ds feature slice value",
    """
    feature       string!   feature column
    type          string    its type, e.g. double; days of another type do not merge
    slice         string!   what the traffic is cut by; 'all' is the whole
    value         string    value of the slice; null is its own slice
    rows          bigint!   sampled rows
    weight        double!   estimated mature impressions
    effective_rows double   rows of equal weight that would tell as much: weight^2 / sum of squared weights (Kish 1965)
    rows_real     bigint!   cells with a real value
    rows_true_zero bigint!  measured zeros of a known key
    rows_default_filled bigint! nulls filled with the declared default
    rows_null     bigint!   nulls without default
    rows_stale    bigint!   older than the tolerance
    rows_no_entity bigint!  key never seen, or no profile
    weight_real   double!   weight of those cells
    weight_true_zero double! .
    weight_default_filled double! .
    weight_null   double!   .
    weight_stale  double!   .
    weight_no_entity double! .
    coverage      double    (weight_real + weight_true_zero) / weight; null where weight is 0
    rows_infinite bigint!   real cells that are infinite; they stand in bins and quantiles, not in mean, std, min, max
    weight_infinite double! .
    mean          double    weighted mean over real and true_zero cells of a number
    std           double    weighted standard deviation of the same
    min           double    smallest of the same
    max           double    largest of the same
    q01           double    weighted quantiles of the same, from `bins`
    q05           double    .
    q25           double    .
    q50           double    .
    q75           double    .
    q95           double    .
    q99           double    .
    distinct      bigint    different values of the same, estimated from `distinct_sketch`
    top_share     double    weight of the commonest value (of a number: bin) over the weight of the same
    top_values    array<string> commonest values of text, of the greatest weight first
    top_weights   array<double> weight of each
    bins          array<int> occupied bins of a number in ascending order (reports/bins.py); days merge by adding up
    bin_weights   array<double> weight in each
    distinct_sketch binary  HyperLogLog registers, one byte each (reports/distinct.py); days merge by the greater
    psi           double    population stability index against the reference days
    js            double    Jensen-Shannon divergence in bits, 0 to 1, against them
    coverage_change double  coverage less that of the reference days
    coverage_change_low double 95 % interval of it (Newcombe 1998, method 10, over effective rows)
    coverage_change_high double .
    reference     string    the reference days, e.g. '2024-05-01..2024-05-07 (7 days)'; null where there are none
    first_ds      date      first day with a real value or a measured zero, as far as the reference days know
    ds            date!     day of the impressions
    """,
)

GATE_RESULTS: Table = make_table(
    "gate_results",
    "ds x revision x rule, and ds x revision x rule x feature x slice x value that failed",
    "ds revision rule feature slice value",
    """
    revision      int!      of the publish receipt that it belongs to
    rule          string!   name of the rule in the configuration
    severity      string!   critical or warning
    metric        string!   what was looked at: coverage, share_stale, psi, rows, ...
    feature       string    that failed; null in the rule's own row
    slice         string    .
    value         string    .
    observed      double    what was found; null where there was nothing to measure
    wanted_low    double    least that passes; null where there is no such limit
    wanted_high   double    most that passes
    median        double    trailing median that the limits were made from; null where they are absolute
    since         date      first of the days in a row, up to this one, on which it failed, as far as they were judged
    checked       bigint!   in the rule's own row: cells looked at; 1 in the row of a failure
    failed        bigint!   in the rule's own row: cells that failed; 1 in the row of a failure
    accepted      string    reason given with --accept
    ds            date!     day of the impressions
    """,
)

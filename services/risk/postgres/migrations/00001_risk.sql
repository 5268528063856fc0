-- +goose Up

-- What a border measure takes for granted. Rows never change.
CREATE TABLE assumption (
    id           text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    title        text             NOT NULL CHECK (title <> ''),
    rationale    text             NOT NULL,
    author       text             NOT NULL,
    assumed_rate double precision NOT NULL CHECK (assumed_rate > 0 AND assumed_rate < 'infinity'),
    strength     double precision NOT NULL CHECK (strength > 0 AND strength < 'infinity'),
    tolerance    double precision NOT NULL CHECK (tolerance > 0 AND tolerance < 'infinity'),
    dataflow     text             NOT NULL,
    key          text             NOT NULL,
    provider     text             NOT NULL,
    start_period text             NOT NULL,
    end_period   text             NOT NULL,
    create_time  timestamptz      NOT NULL
);

-- A verdict, with all that it takes to do it again: the assumption, the evidence, the revision and the method.
CREATE TABLE judgement (
    id               uuid PRIMARY KEY,
    assumption       text COLLATE "C" NOT NULL REFERENCES assumption (id),
    judge_time       timestamptz      NOT NULL,
    revision         bigint           NOT NULL CHECK (revision >= 0),
    method           text             NOT NULL,
    evidence         jsonb            NOT NULL CHECK (jsonb_array_length(evidence) > 0),
    events           double precision NOT NULL CHECK (events >= 0),
    exposure         double precision NOT NULL CHECK (exposure > 0),
    posterior_shape  double precision NOT NULL CHECK (posterior_shape > 0),
    posterior_rate   double precision NOT NULL CHECK (posterior_rate > 0),
    mean             double precision NOT NULL,
    q05              double precision NOT NULL,
    q50              double precision NOT NULL CHECK (q50 >= q05),
    q95              double precision NOT NULL CHECK (q95 >= q50),
    under_estimated  double precision NOT NULL CHECK (under_estimated BETWEEN 0 AND 1),
    over_estimated   double precision NOT NULL CHECK (over_estimated BETWEEN 0 AND 1),
    within           double precision NOT NULL CHECK (within BETWEEN 0 AND 1),
    surprise_upper   double precision NOT NULL CHECK (surprise_upper BETWEEN 0 AND 1),
    surprise_lower   double precision NOT NULL CHECK (surprise_lower BETWEEN 0 AND 1),
    log_bayes_factor double precision NOT NULL,
    outcome          text             NOT NULL CHECK (
        outcome IN ('UNDER_ESTIMATED', 'OVER_ESTIMATED', 'CONFIRMED', 'AMBIGUOUS', 'INSUFFICIENT')
    ),
    exposure_needed  double precision CHECK (exposure_needed > 0)
);

CREATE INDEX judgement_of_assumption ON judgement (assumption, judge_time DESC);

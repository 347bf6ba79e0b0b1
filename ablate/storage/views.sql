CREATE VIEW ablate_params AS
SELECT
  s.study_name AS study,
  t.number AS trial,
  p.param_name AS name,
  CASE json_extract(p.distribution_json, '$.name')
    WHEN 'CategoricalDistribution' THEN
      CASE json_type(p.distribution_json, '$.attributes.choices[' || CAST(p.param_value AS INTEGER) || ']')
        WHEN 'true' THEN 'true'
        WHEN 'false' THEN 'false'
        ELSE json_extract(p.distribution_json, '$.attributes.choices[' || CAST(p.param_value AS INTEGER) || ']')
      END
    WHEN 'IntDistribution' THEN CAST(p.param_value AS INTEGER)
    ELSE p.param_value
  END AS value
FROM trial_params p
JOIN trials t ON t.trial_id = p.trial_id
JOIN studies s ON s.study_id = t.study_id
UNION ALL
SELECT s.study_name, t.number, missing.value, NULL
FROM trial_user_attributes a
JOIN trials t ON t.trial_id = a.trial_id
JOIN studies s ON s.study_id = t.study_id,
json_each(a.value_json) missing
WHERE a.key = 'unset';

CREATE VIEW ablate_trials AS
SELECT
  s.study_name AS study,
  t.number AS trial,
  t.state AS state,
  json_extract(arm.value_json, '$') AS arm,
  (SELECT json_extract(a.value_json, '$') FROM trial_user_attributes a
    WHERE a.trial_id = t.trial_id AND a.key = 'seed') AS seed,
  (SELECT json_extract(a.value_json, '$') FROM trial_user_attributes a
    WHERE a.trial_id = t.trial_id AND a.key = 'outcome') AS outcome,
  (SELECT json_extract(a.value_json, '$') FROM trial_user_attributes a
    WHERE a.trial_id = t.trial_id AND a.key = 'device') AS device,
  (SELECT v.value FROM trial_values v WHERE v.trial_id = t.trial_id AND v.objective = 0) AS value,
  (SELECT json_extract(a.value_json, '$') FROM trial_user_attributes a
    WHERE a.trial_id = t.trial_id AND a.key = 'seconds') AS seconds,
  (SELECT json_extract(a.value_json, '$') FROM trial_user_attributes a
    WHERE a.trial_id = t.trial_id AND a.key = 'recipe') AS recipe,
  (SELECT json_group_object(name, json(value)) FROM (
    SELECT
      p.param_id AS place,
      p.param_name AS name,
      CASE json_extract(p.distribution_json, '$.name')
        WHEN 'CategoricalDistribution' THEN
          CASE json_type(p.distribution_json, '$.attributes.choices[' || CAST(p.param_value AS INTEGER) || ']')
            WHEN 'true' THEN 'true'
            WHEN 'false' THEN 'false'
            ELSE json_quote(json_extract(
              p.distribution_json, '$.attributes.choices[' || CAST(p.param_value AS INTEGER) || ']'))
          END
        WHEN 'IntDistribution' THEN json_quote(CAST(p.param_value AS INTEGER))
        ELSE json_quote(p.param_value)
      END AS value
    FROM trial_params p
    WHERE p.trial_id = t.trial_id
    UNION ALL
    SELECT 9e18, missing.value, 'null'
    FROM trial_user_attributes a, json_each(a.value_json) missing
    WHERE a.trial_id = t.trial_id AND a.key = 'unset'
    ORDER BY place
  )) AS params,
  (SELECT json_extract(a.value_json, '$') FROM trial_user_attributes a
    WHERE a.trial_id = t.trial_id AND a.key = 'metrics') AS metrics,
  replace(substr(t.datetime_start, 1, 19), ' ', 'T') || 'Z' AS started,
  replace(substr(t.datetime_complete, 1, 19), ' ', 'T') || 'Z' AS finished,
  (SELECT json_extract(a.value_json, '$') FROM trial_user_attributes a
    WHERE a.trial_id = t.trial_id AND a.key = 'error') AS error
FROM trials t
JOIN studies s ON s.study_id = t.study_id
JOIN trial_user_attributes arm ON arm.trial_id = t.trial_id AND arm.key = 'arm';

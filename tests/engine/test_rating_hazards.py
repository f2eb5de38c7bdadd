"""Hazards from a history: censoring, the estimators, the fallbacks, and the figures of the modelling note."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pooling.tapes import check_tape, outcomes, read_tape
from rating.engine.calibration import calibrate, calibrated_model
from rating.engine.curves import documented_model
from rating.engine.hazards import (
    DEFAULTED,
    MATURED,
    PREPAID,
    History,
    aalen_johansen,
    fit_hazards,
    hazard_incidence,
    net_default_curve,
    observe,
    person_months,
)
from rating.engine.posterior import loading_posterior
from rating.engine.vintages import severity, vintage_counts

LATER = 10_000  # a cut-off after which nothing happens
NEVER_CENSORED = 0.0


def _history(n: int, seed: int, *, months: int = 36, quarters: int = 8, shock: float = 0.0) -> History:
    """Loans with known hazards: default 1 % or 2 % a month by grade times a quarter effect, prepayment 2 %."""
    rng = np.random.default_rng(seed)
    issue = rng.integers(0, 3 * quarters, n)
    grade = rng.choice(np.array(["A", "B"]), n)
    effect = np.exp(shock * rng.standard_normal(quarters))[issue // 3]
    default = rng.geometric(np.where(grade == "A", 0.01, 0.02) * effect)
    prepaid = rng.geometric(0.02, n)
    exit_month = np.minimum(np.minimum(default, prepaid), months)
    kind = np.where(default <= np.minimum(prepaid, months), DEFAULTED, np.where(prepaid < months, PREPAID, MATURED))
    lost = np.where(kind == DEFAULTED, 800.0, 0.0)
    return History(
        issue_month=issue,
        term=np.full(n, months),
        grade=grade,
        rate=np.where(grade == "A", 0.08, 0.14),
        balance=np.full(n, 1000.0),
        exit_month_on_book=exit_month,
        exit_kind=kind,
        charged_off=lost,
        net_recovery=lost * 0.1,
    )


def test_aalen_johansen_of_a_worked_example() -> None:
    # Month 1: 10 at risk, 1 default, 2 prepaid. Month 2: 7 at risk, 1 default. By hand: 0.1 and 0.1 + 0.7 / 7.
    default, prepaid = aalen_johansen(np.array([10.0, 7.0]), np.array([1.0, 1.0]), np.array([2.0, 0.0]))
    assert np.allclose(default, [0.1, 0.2])
    assert np.allclose(prepaid, [0.2, 0.2])
    assert np.allclose(net_default_curve(np.array([10.0, 7.0]), np.array([1.0, 1.0])), [0.1, 1 - 0.9 * 6 / 7])


def test_without_censoring_the_incidence_is_the_share_that_defaulted() -> None:
    history = _history(3000, seed=1)
    seen = observe(history, LATER)
    at_risk, defaults, prepaid = person_months(seen, np.zeros(len(history), dtype=np.int64), 1, 36)
    assert at_risk[0, 0] == 3000
    incidence, _ = aalen_johansen(at_risk[0], defaults[0], prepaid[0])
    assert incidence[-1] == pytest.approx((history.exit_kind == DEFAULTED).mean(), abs=1e-12)


def test_raw_hazards_reproduce_aalen_johansen_exactly() -> None:
    history = _history(5000, seed=2)
    fitted = fit_hazards(history, 30, grade_credibility=0.0, term_credibility=0.0)
    for g in range(2):
        risk = fitted.at_risk[g, 0]
        last = int(np.flatnonzero(risk > 0)[-1]) + 1
        truth = aalen_johansen(risk, fitted.defaults[g, 0], fitted.prepayments[g, 0])
        found = hazard_incidence(fitted.default_hazard[g, 0], fitted.prepayment_hazard[g, 0])
        for a, b in zip(truth, found, strict=True):
            assert np.abs(a[:last] - b[:last]).max() < 1e-12


def test_what_happened_after_the_cutoff_is_never_read() -> None:
    history, cutoff = _history(2000, seed=3), 15
    known_at = history.issue_month + history.exit_month_on_book + 4
    later = known_at > cutoff
    tampered = replace(
        history,
        exit_month_on_book=np.where(later, 36, history.exit_month_on_book),
        exit_kind=np.where(later, MATURED, history.exit_kind),
        charged_off=np.where(later, 1e6, history.charged_off),
    )
    assert later.any()
    assert (~later).any()
    honest, other = fit_hazards(history, cutoff), fit_hazards(tampered, cutoff)
    assert honest.default_hazard.tobytes() == other.default_hazard.tobytes()
    assert honest.prepayment_hazard.tobytes() == other.prepayment_hazard.tobytes()
    assert calibrated_model(history, cutoff).content_hash() == calibrated_model(tampered, cutoff).content_hash()


def test_censoring_leaves_the_hazards_unbiased() -> None:
    # Only loans that had ended would show far higher shares; censored exposure finds the 1 % and 2 % put in.
    fitted = fit_hazards(_history(60_000, seed=4), 20)
    for g, truth in enumerate((0.01, 0.02)):
        total = fitted.at_risk[g].sum()
        assert fitted.defaults[g].sum() / total == pytest.approx(truth, abs=4 * np.sqrt(truth / total))


def test_a_loan_issued_just_before_the_cutoff_enters_but_is_not_watched() -> None:
    history = _history(500, seed=5)
    seen = observe(history, 4)
    assert len(seen.history) == (history.issue_month < 4).sum()
    assert not seen.months.any()
    assert not seen.kind.any()
    with pytest.raises(ValueError, match="no loan could be watched"):
        fit_hazards(history, 4)
    with pytest.raises(ValueError, match="no loan of the history was issued before it"):
        observe(history, 0)


def test_an_unseen_term_takes_the_same_share_of_the_seen_one() -> None:
    fitted = fit_hazards(_history(20_000, seed=6), LATER, terms=(60,))
    assert fitted.terms == (36, 60)
    assert any("60-month loans" in text and "no loan-month was observed" in text for text in fitted.fallbacks)
    # The same monthly level at the same share of the term, so about 60 / 36 times the cumulative hazard.
    ratio = fitted.default_hazard[:, 1].sum(axis=1) / fitted.default_hazard[:, 0, :36].sum(axis=1)
    assert np.allclose(ratio, 60 / 36, rtol=0.05)


def test_months_not_yet_observed_hold_the_last_level() -> None:
    fitted = fit_hazards(_history(20_000, seed=7, quarters=4), 16)
    assert any("hold the mean hazard" in text for text in fitted.fallbacks)
    assert (fitted.default_hazard[:, 0, :36] > 0).all()
    assert np.ptp(fitted.default_hazard[0, 0, 20:36]) < 1e-12


def test_severity_and_vintages_come_back_from_data_with_known_answers() -> None:
    history = _history(40_000, seed=8, quarters=24, shock=0.4)
    fitted = fit_hazards(history, LATER)
    lost = severity(history, fitted)
    assert lost is not None
    assert lost.mean == pytest.approx(0.9)
    assert lost.charge_offs == (history.exit_kind == DEFAULTED).sum()
    # Every loan lost exactly nine tenths: no error, no noise, no difference between grades.
    assert lost.error == pytest.approx(0.0, abs=1e-12)
    assert lost.noise == 0.0
    assert lost.by_grade == pytest.approx((0.9, 0.9))
    found = loading_posterior(vintage_counts(history, fitted), prior=0.05)
    calm_history = _history(40_000, seed=8, quarters=24)
    calm = loading_posterior(vintage_counts(calm_history, fit_hazards(calm_history, LATER)), prior=0.05)
    assert found is not None
    assert calm is not None
    assert calm.correlation.mode < 0.003 < found.likelihood_low < found.correlation.mode < found.likelihood_high < 0.3
    assert found.correlation.low < found.correlation.median < found.correlation.high
    # Log ratios of sd 0.4 over 24 quarters counted as 6: 0.4 / sqrt(6) = 0.16, within the spread of 24 draws.
    assert 0.10 < found.level.sd < 0.26
    assert calm.level.sd < found.level.sd


def test_a_short_history_falls_back_and_says_so() -> None:
    model = calibrated_model(_history(300, seed=9, quarters=2), 12)
    text = " ".join(model.fallbacks)
    assert "too few issue quarters" in text
    assert "too few charge-offs" in text
    assert "60-month loans" in text
    assert json.loads(json.dumps(model.to_json()))["provenance"]["severity_mean"]["kind"] == "assumption"


def test_years_after_the_data_end_are_no_experience() -> None:
    history = _history(300, seed=9, quarters=2)
    end = int((history.issue_month + history.exit_month_on_book).max())
    assert calibrated_model(history, 9_999).history_months == end - int(history.issue_month.min()) < 100


def test_a_thin_history_leans_on_the_documented_curve() -> None:
    # 50 defaults stand alone; with n < 50 the documented hazard counts for 1 - sqrt(n / 50).
    history = _history(300, seed=9, quarters=2)
    fitted = fit_hazards(history, 12, terms=(36, 60))
    seen = fitted.defaults.sum()
    assert 0 < seen < 50
    model, documented = calibrated_model(history, 12), documented_model()
    trust = np.sqrt(seen / 50)
    # Grade A pays 8 %, at the documented ceiling of band A (6 % + 2 % / 0.75 = 8.67 %).
    assert np.allclose(
        model.default_hazard[0], trust * fitted.default_hazard[0, 0] + (1 - trust) * documented.default_hazard[0]
    )
    assert any(f"{seen:.0f} defaults before the cut-off" in text for text in model.fallbacks)


def test_the_sector_column_is_optional_and_kept() -> None:
    history = _history(10, seed=1)
    assert history.sectors().tolist() == [""] * 10
    named = replace(history, sector=np.array(["South", "West"] * 5))
    assert named.take(np.arange(10) < 3).sectors().tolist() == ["South", "West", "South"]
    with pytest.raises(ValueError, match=r"sector: shape \(3,\), expected \(10,\)"):
        replace(history, sector=np.array(["a", "b", "c"]))


def test_columns_of_different_length_are_refused() -> None:
    history = _history(10, seed=1)
    columns = {item.name: getattr(history, item.name) for item in fields(history)}
    with pytest.raises(ValueError, match=r"rate: shape \(9,\), expected \(10,\)"):
        History(**columns | {"rate": history.rate[:9]})
    with pytest.raises(ValueError, match="exit_kind: row 3 holds 7"):
        History(**columns | {"exit_kind": np.where(np.arange(10) == 3, 7, history.exit_kind)})


# --- real data -------------------------------------------------------------------------------------------------


def _month(column: pd.Series) -> np.ndarray:
    return (column.str[:4].astype(float) * 12 + column.str[5:7].astype(float) - 1).to_numpy()


@pytest.fixture
def lending_club(shared: Path) -> History:
    return _lending_club(shared)


@cache
def _lending_club(shared: Path) -> History:
    tape = pd.read_csv(shared / "data/lendingclub_2007_2010.csv.gz", dtype=str)
    issue, last = _month(tape["issue_d"]), _month(tape["last_pymnt_d"])
    paid = np.nan_to_num(last - issue, nan=0.0).astype(np.int64)
    bad = tape["loan_status"].str.contains("Charged Off").to_numpy()
    term = tape["term"].astype(float).to_numpy().astype(np.int64)

    def money(name: str) -> np.ndarray:
        return tape[name].astype(float).to_numpy()

    return History(
        issue_month=issue.astype(np.int64),
        term=term,
        grade=tape["grade"].to_numpy(dtype=str),
        rate=money("int_rate"),
        balance=money("funded_amnt"),
        exit_month_on_book=np.maximum(np.where(bad, paid + 1, paid), 1),
        exit_kind=np.where(bad, DEFAULTED, np.where(paid >= term, MATURED, PREPAID)),
        charged_off=np.where(bad, money("funded_amnt") - money("total_rec_prncp"), 0.0),
        net_recovery=np.where(bad, money("recoveries") - money("collection_recovery_fee"), 0.0),
    )


@pytest.mark.shared
def test_figures_of_the_modelling_note_come_back(lending_club: History) -> None:
    # notes/model.md rules 2 and 4: 36-month loans, charge-off five months after the last payment, to month 36.
    loans = lending_club.take(lending_club.term == 36)
    bad = loans.exit_kind == DEFAULTED
    dated = replace(
        loans,
        exit_month_on_book=np.where(bad, loans.exit_month_on_book + 4, loans.exit_month_on_book),
        term=loans.term + 36,
    )
    seen = observe(dated, LATER * 12)
    at_risk, defaults, prepaid = person_months(seen, np.zeros(len(loans), dtype=np.int64), 1, 72)
    incidence, _ = aalen_johansen(at_risk[0], defaults[0], prepaid[0])
    assert round(float(incidence[35]), 3) == 0.127
    assert round(float(net_default_curve(at_risk[0], defaults[0])[35]), 3) == 0.166
    lost = lending_club.exit_kind == DEFAULTED
    assert round(lending_club.net_recovery[lost].sum() / lending_club.charged_off[lost].sum(), 3) == 0.071


@pytest.mark.shared
def test_smoothed_hazards_reproduce_the_incidences_of_the_history(lending_club: History) -> None:
    fitted = fit_hazards(lending_club, LATER * 12)
    for m, term in enumerate(fitted.terms):
        counts = [table[:, m].sum(axis=0)[:term] for table in (fitted.at_risk, fitted.defaults, fitted.prepayments)]
        truth = aalen_johansen(*counts)
        share = fitted.at_risk[:, m, 0] / fitted.at_risk[:, m, 0].sum()
        found = hazard_incidence(fitted.default_hazard[:, m, :term], fitted.prepayment_hazard[:, m, :term])
        for cause in range(2):
            gap = np.abs(share @ found[cause] - truth[cause]).max()
            # Smoothing borrows between grades and terms: half a point on 36 months, one on the thinner 60.
            assert gap < (0.005 if term == 36 else 0.02), (term, cause, gap)


@pytest.mark.shared
def test_a_history_before_april_2010_serves_60_month_loans_by_the_stated_fallback(lending_club: History) -> None:
    cutoff = 2010 * 12 + 3
    history = lending_club.take(lending_club.issue_month < cutoff)
    assert set(history.term) == {36}
    model = calibrated_model(history, cutoff)
    assert any(text.startswith("60-month loans: hazards of the 36-month loans") for text in model.fallbacks)
    assert model.bands == ("A", "B", "C", "D", "E", "F", "G")
    assert model.terms == (36, 60)
    assert 0.90 < model.severity_mean < 0.96
    default = hazard_incidence(model.default_hazard, model.prepayment_hazard)[0]
    assert (default[1::2, 59] > default[::2, 35]).all()


@pytest.mark.shared
def test_a_tape_calibrates_as_its_loans_were_known_at_the_cutoff(shared: Path, lending_club: History) -> None:
    tape = check_tape(read_tape(shared / "data/lendingclub_2007_2010.csv.gz"))
    found = outcomes(tape)
    assert found is not None
    # Months since January 1970 in the tape reader, since year 0 in the fixture above.
    cutoff, epoch = (2010 - 1970) * 12 + 3, 1970 * 12
    model = calibrate(found, cutoff_month=cutoff, source_sha256="ab" * 32)
    assert model.provenance["history_sha256"] == "ab" * 32
    other = calibrated_model(lending_club, cutoff + epoch)
    assert np.allclose(model.default_hazard, other.default_hazard, rtol=0.02, atol=1e-5)
    assert model.severity_mean == pytest.approx(other.severity_mean, abs=0.002)
    assert model.sectors == ("Midwest", "Northeast", "South", "West")
    assert model.history_months == cutoff - 4 - ((2007 - 1970) * 12 + 5)  # first loan of the tape: June 2007
    at_the_end = calibrate(found)
    assert at_the_end.provenance["hazards"]["defaults"] > 5 * model.provenance["hazards"]["defaults"]

import type { Detector } from './detectors.ts';
import type { PathMask } from './json-paths.ts';
import type { Masker } from './masker.ts';

/** What happens to the values of one column of a result. */
export interface ColumnPlan {
  /** The masks and detectors that ask for it, sorted. */
  readonly by: readonly string[];
  /** The whole value; `null` if only parts of it are masked, or what is found in it. */
  readonly mask: Masker | null;
  /** The value is computed from masked ones: whether it is NULL would tell of them, so NULL is masked like any other. */
  readonly isDerived: boolean;
  /** Parts of a JSON value. */
  readonly paths: readonly PathMask[];
  readonly detectors: readonly ColumnDetector[];
}

export interface ColumnDetector {
  readonly detector: Detector;
  readonly masker: Masker;
}

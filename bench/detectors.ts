/** What detectors cost per megabyte of text that has nothing in it for them: every value is looked at, and none is found. */
import { DETECTIONS, Detector } from '../src/masking/detectors.ts';
import type { DetectorCost } from './outcome.ts';

const ROUNDS = 5;
const BYTES = 4_000_000;

/** CPU milliseconds for each detector alone, and for all of them at once. Throws if one finds something. */
export function measureDetectors(): DetectorCost[] {
  const text = Buffer.from(
    Array.from({ length: BYTES / 64 }, (_, n) =>
      `note ${n}, item ${n % 97}: left on the 3rd shelf, 12 pieces`.padEnd(63),
    )
      .join('\n')
      .slice(0, BYTES),
  );
  const cost = (detector: Detector): number => {
    const before = process.cpuUsage();
    for (let at = 0; at < text.length; at += 64) {
      if (detector.finds(text, at, Math.min(at + 63, text.length))) throw new Error('a detector found something');
    }
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000 / (BYTES / 1_000_000);
  };
  return [...DETECTIONS.map((one) => [one]), [...DETECTIONS]].map((detections) => {
    const detector = new Detector(detections, []);
    cost(detector);
    const name = detections.length > 1 ? 'all of them' : detections[0]!;
    return { name, milliseconds: Array.from({ length: ROUNDS }, () => cost(detector)) };
  });
}

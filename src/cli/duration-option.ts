import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../config/quantity.ts';

/** Reads the value of an option that is a duration, milliseconds. @param examples for whoever wrote something else */
export function durationOption(examples: string): (text: string) => number {
  return (text) => {
    const duration = parseDuration(text);
    if (duration === null) throw new InvalidArgumentError(`It must be a duration such as ${examples}.`);
    return duration;
  };
}

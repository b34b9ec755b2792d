/** This file reads options that are whole numbers. */
import { InvalidArgumentError } from 'commander';

/** A reader of whole numbers from 1 on. */
export function fromOneTo(max: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (!Number.isInteger(number) || number < 1 || number > max)
      throw new InvalidArgumentError(`it goes from 1 to ${max}`);
    return number;
  };
}

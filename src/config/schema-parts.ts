/** This file has the helpers that build the configuration's schema. */
import type { Limits } from './limits.ts';

export function list(items: object, extra: object): object {
  return { type: 'array', items, ...extra };
}

export function mapping(properties: object, extra: object): object {
  return { type: 'object', additionalProperties: false, properties, ...extra };
}

/** The limits of a number as schema keywords. The default is left out if there is none. */
export function within({ min, max, otherwise }: Limits): object {
  return {
    minimum: min,
    maximum: max,
    ...(otherwise === undefined ? {} : { default: otherwise }),
  };
}

/** A whole number. */
export function integer(limits: Limits, extra: object): object {
  return { type: 'integer', ...within(limits), ...extra };
}

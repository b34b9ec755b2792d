/** What the parts of the configuration's schema are put together with. */

export function list(items: object, extra: object): object {
  return { type: 'array', items, ...extra };
}

export function mapping(properties: object, extra: object): object {
  return { type: 'object', additionalProperties: false, properties, ...extra };
}

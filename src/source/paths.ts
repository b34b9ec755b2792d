/** Writes the paths of places inside a document. */

const PLAIN_KEY = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** Returns `path.key`, or `path["key with blanks"]`. */
export function keyPath(path: string, key: string): string {
  if (!PLAIN_KEY.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}

export function itemPath(path: string, index: number): string {
  return `${path}[${index}]`;
}

/** Writes the wire tables of src/api/ from the installed packages of the SDK for JavaScript. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { wireTables } from './tables.ts';

// build/scripts/wire/ is three below the root.
const root = fileURLToPath(new URL('../../..', import.meta.url));
for (const [path, text] of await wireTables()) {
  writeFileSync(join(root, path), text);
  console.log(path);
}

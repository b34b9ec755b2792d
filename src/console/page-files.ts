/**
 * This file has the files of the page, as they are served: few, with known names, read once at the start. No path of a
 * request ever becomes the path of a file.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where scripts/build puts the page: from src/console/ and from the bundle, which are both one folder below src/. */
const FOLDER = new URL('../console/page/', import.meta.url);

/** By the path of a request. */
const FILES: ReadonlyMap<string, readonly [name: string, type: string]> = new Map([
  ['/', ['index.html', 'text/html; charset=utf-8']],
  ['/page.js', ['page.js', 'text/javascript; charset=utf-8']],
  ['/page.css', ['page.css', 'text/css; charset=utf-8']],
  ['/icon.svg', ['icon.svg', 'image/svg+xml']],
]);

const NO_PAGE = `<!doctype html>
<html lang="en">
<title>secgroupd console</title>
<p>The page of the console is not built here: run scripts/build. The server answers below /api/.</p>
</html>
`;

export interface PageFile {
  readonly type: string;
  readonly plain: Served;
  /** The same, compressed by gzip; absent: there is none. */
  readonly gzip?: Served;
}

export interface Served {
  readonly body: Buffer;
  /** A validator of HTTP, with its quotes. */
  readonly etag: string;
}

/** Reads the files of a page. Without a page there is one that says so. */
export function readPageFiles(folder: URL | string = FOLDER): ReadonlyMap<string, PageFile> {
  const base = typeof folder === 'string' ? folder : fileURLToPath(folder);
  const found = new Map<string, PageFile>();
  for (const [path, [name, type]] of FILES) {
    const plain = readIfThere(`${base}/${name}`);
    if (plain === undefined) continue;
    const gzip = readIfThere(`${base}/${name}.gz`);
    found.set(path, {
      ...{ type, plain: serve(plain) },
      ...(gzip === undefined ? {} : { gzip: serve(gzip) }),
    });
  }
  if (!found.has('/'))
    found.set('/', { type: 'text/html; charset=utf-8', plain: serve(Buffer.from(NO_PAGE)) });
  return found;
}

function serve(body: Buffer): Served {
  return { body, etag: `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"` };
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

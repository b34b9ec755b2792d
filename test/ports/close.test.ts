/** Descriptors that are closed side by side. */
import assert from 'node:assert/strict';
import { fstatSync, openSync } from 'node:fs';
import { test } from 'node:test';
import { loadNative } from '../../src/ports/native.ts';

const native = loadNative();

function openSome(count: number): number[] {
  return Array.from({ length: count }, () => openSync('/dev/null', 'r'));
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EBADF');
    return false;
  }
}

test('all of them are closed, however many, and no other', () => {
  for (const count of [0, 1, 2, 15, 16, 17, 500]) {
    const [other] = openSome(1);
    const fds = openSome(count);
    native.closeFds(Int32Array.from(fds));
    assert.deepEqual(fds.filter(isOpen), []);
    assert.ok(isOpen(other));
    native.closeFd(other);
  }
});

test('one that can not be closed is told of, and the others are closed', () => {
  const fds = openSome(40);
  native.closeFd(fds[20]);
  assert.throws(() => native.closeFds(Int32Array.from(fds)), {
    code: 'EBADF',
    syscall: 'close',
    message: `EBADF: descriptor ${fds[20]} cannot be closed: Bad file descriptor (close)`,
  });
  assert.deepEqual(fds.filter(isOpen), []);
  assert.throws(() => native.closeFds([1] as unknown as Int32Array), TypeError);
});

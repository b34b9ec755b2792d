/** Run by descriptors.test.ts with few descriptors: opens TUNs until one can't be had, and prints why. */
import { native, thrownBy } from './support.ts';

const error = thrownBy(() => {
  for (let i = 0; ; i++) native.openDevice({ kind: 'tun', name: `sgt${i}`, persist: false });
});
console.log(JSON.stringify({ code: error.code, message: error.message }));

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PreviewQueue } from './preview-queue.ts';

/** A queue whose work ends when it is told to. */
function queue() {
  const begun: number[] = [];
  const ending = new Map<number, () => void>();
  const made = new PreviewQueue((id) => {
    begun.push(id);
    return new Promise((resolve) => ending.set(id, resolve));
  });
  return { begun, made, end: (id: number) => ending.get(id)!() };
}

/** Whatever follows from what was done has followed. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

test('a few requests of each connection are looked into at once, the others in turn', async () => {
  const { begun, made, end } = queue();
  for (const id of [1, 2, 3, 4]) assert.equal(made.add(id, 'shop'), true);
  made.add(5, 'stock');
  await settled();
  assert.deepEqual(begun, [1, 2, 5]);
  end(2);
  await settled();
  assert.deepEqual(begun, [1, 2, 5, 3]);
  assert.deepEqual(
    [1, 2, 3, 4].map((id) => made.has(id)),
    [true, false, true, true],
  );
});

test('those that somebody opens do not wait behind the others, and are looked into once', async () => {
  const { begun, made, end } = queue();
  for (let id = 1; id <= 50; id++) made.add(id, 'shop');
  const opened = [made.open(40, 'shop'), made.open(40, 'shop'), made.open(60, 'shop'), made.open(61, 'shop')];
  await settled();
  assert.deepEqual(begun, [1, 2, 40, 60]);
  end(40);
  await Promise.all(opened.slice(0, 2));
  await settled();
  assert.deepEqual(begun, [1, 2, 40, 60, 61]);
  end(1);
  await settled();
  assert.deepEqual(begun, [1, 2, 40, 60, 61, 3]);
});

test('what is too much for the queue is refused, and can be opened all the same', async () => {
  const { begun, made, end } = queue();
  const taken = Array.from({ length: 200 }, (_, n) => made.add(n, 'shop')).filter((isTaken) => isTaken);
  assert.equal(taken.length, 102);
  assert.equal(made.has(150), false);
  const opened = made.open(150, 'shop');
  await settled();
  assert.deepEqual(begun, [0, 1, 150]);
  end(150);
  await opened;
});

test('when it is closed, nothing is begun any more and nobody waits', async () => {
  const { begun, made } = queue();
  for (const id of [1, 2, 3, 4]) made.add(id, 'shop');
  const opened = [5, 6, 7].map((id) => made.open(id, 'shop'));
  await settled();
  made.close();
  await opened[2];
  await made.open(8, 'shop');
  assert.equal(made.add(9, 'shop'), false);
  assert.deepEqual(begun, [1, 2, 5, 6]);
});

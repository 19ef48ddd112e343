// SPDX-License-Identifier: Apache-2.0
// The areas of an address space in order of iova: a list, and a tree to find one, or a hole of some size, in logarithmic
// time. The tree is a treap: ordered by iova, and a heap of priorities drawn from a generator that callers cannot steer.
#include "uapi/iommufd/iommufd_internal.h"

static uint64_t draw(struct iopt *t) { // xorshift64*
  uint64_t x = t->random ? t->random : 0x9e3779b97f4a7c15ull;
  x ^= x >> 12;
  x ^= x << 25;
  x ^= x >> 27;
  t->random = x;
  return x * 0x2545f4914f6cdd1dull;
}

static uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }

// What the subtree covers, from what its children's do.
static void sum_up(struct area *a) {
  a->low = a->left ? a->left->low : a->iova;
  a->high = a->right ? a->right->high : a->last;
  a->hole = 0;
  if (a->left)
    a->hole = larger(a->left->hole, a->iova - a->left->high - 1);
  if (a->right)
    a->hole = larger(a->hole, larger(a->right->hole, a->right->low - a->last - 1));
}

// Splits a subtree: areas below iova, and the others.
static void split(struct area *a, uint64_t iova, struct area **below, struct area **others) {
  if (!a) {
    *below = *others = NULL;
  } else if (a->iova < iova) {
    split(a->right, iova, &a->right, others);
    sum_up(a);
    *below = a;
  } else {
    split(a->left, iova, below, &a->left);
    sum_up(a);
    *others = a;
  }
}

static struct area *join(struct area *below, struct area *above) {
  if (!below || !above)
    return below ? below : above;
  if (below->priority > above->priority) {
    below->right = join(below->right, above);
    sum_up(below);
    return below;
  }
  above->left = join(below, above->left);
  sum_up(above);
  return above;
}

static struct area *insert(struct area *root, struct area *a) {
  if (!root || root->priority < a->priority) {
    split(root, a->iova, &a->left, &a->right);
    root = a;
  } else if (a->iova < root->iova) {
    root->left = insert(root->left, a);
  } else {
    root->right = insert(root->right, a);
  }
  sum_up(root);
  return root;
}

static struct area *removed(struct area *root, const struct area *a) {
  if (root == a)
    return join(root->left, root->right);
  if (a->iova < root->iova)
    root->left = removed(root->left, a);
  else
    root->right = removed(root->right, a);
  sum_up(root);
  return root;
}

struct area *ims_area_at(const struct iopt *t, uint64_t iova) {
  struct area *found = NULL;
  for (struct area *a = t->root; a;) {
    if (a->last < iova) {
      a = a->right;
    } else {
      found = a;
      a = a->left;
    }
  }
  return found;
}

void ims_area_insert(struct iopt *t, struct area *a) {
  struct area *before = NULL;
  for (struct area *at = t->root; at;) {
    if (at->iova < a->iova) {
      before = at;
      at = at->right;
    } else {
      at = at->left;
    }
  }
  a->prev = before;
  a->next = before ? before->next : t->first;
  if (a->next)
    a->next->prev = a;
  *(before ? &before->next : &t->first) = a;
  a->left = a->right = NULL;
  a->priority = draw(t);
  t->root = insert(t->root, a);
  t->areas++;
}

void ims_area_remove(struct iopt *t, struct area *a) {
  t->root = removed(t->root, a);
  if (a->next)
    a->next->prev = a->prev;
  *(a->prev ? &a->prev->next : &t->first) = a->next;
  t->areas--;
}

// The first area at or behind `iova` that a hole of `size` follows, within the subtree.
static struct area *before_hole(struct area *a, uint64_t iova, uint64_t size) {
  if (!a || a->hole < size || a->high < iova)
    return NULL;
  struct area *found = before_hole(a->left, iova, size);
  if (!found && a->left && a->left->high >= iova && a->iova - a->left->high - 1 >= size)
    found = a->prev;
  if (!found && a->right && a->last >= iova && a->right->low - a->last - 1 >= size)
    found = a;
  return found ? found : before_hole(a->right, iova, size);
}

bool ims_area_hole(const struct iopt *t, uint64_t size, uint64_t *first, uint64_t *last) {
  const struct area *a = ims_area_at(t, *first);
  if (!a || a->iova > *first) {
    *last = a ? a->iova - 1 : ~0ull;
    if (*last - *first >= size - 1)
      return true;
    if (!a)
      return false;
  }
  const struct area *before = before_hole(t->root, a->iova, size);
  if (!before) { // the one behind all areas
    before = t->root;
    while (before->right)
      before = before->right;
    *first = before->last + 1;
    *last = ~0ull;
    return before->last != ~0ull && *last - *first >= size - 1;
  }
  *first = before->last + 1;
  *last = before->next->iova - 1;
  return true;
}

//! A message as a flat tree. All text lies in one buffer, so that a message costs three allocations whatever its size.

use super::{Limits, Trouble, too_long};

/// What a protocol keeps of names.
pub(crate) trait Names: Copy {
    /// The name of an element.
    type Element: Copy;
    /// The name of an attribute.
    type Attribute: Copy;
    /// What a document has beside its elements.
    type Beside: Default;
}

/// A range of the text of a [`Tree`].
pub(crate) type Span = (u32, u32);

/// The end of a chain of siblings.
const NONE: u32 = u32::MAX;

/// The longest text that a tree holds, in bytes.
pub(super) const LARGEST: usize = NONE as usize;

/// A message.
pub(crate) struct Tree<N: Names> {
    nodes: Vec<Node<N>>,
    attributes: Vec<(N::Attribute, Span)>,
    text: String,
    /// What the protocol keeps beside the elements.
    pub(crate) beside: N::Beside,
}

struct Node<N: Names> {
    name: N::Element,
    attributes: Span,
    first_child: u32,
    next: u32,
    text: Span,
}

impl<N: Names> Tree<N> {
    /// The outermost element.
    pub(crate) fn root(&self) -> Element<'_, N> {
        Element { tree: self, at: 0 }
    }
}

/// Makes a [`Tree`].
pub(crate) struct Builder<N: Names> {
    tree: Tree<N>,
    /// The elements that are open and the last child of each.
    open: Vec<(u32, u32)>,
    /// The first attribute of the element that is opened next.
    first_attribute: u32,
}

impl<N: Names> Builder<N> {
    /// For a text of this length whose elements take about so many bytes each. A wrong guess costs a reallocation.
    pub(crate) fn new(length: usize, each: usize, limits: &Limits) -> Self {
        let guess = (length / each).min(limits.elements);
        Self {
            tree: Tree {
                nodes: Vec::with_capacity(guess),
                attributes: Vec::with_capacity(guess),
                text: String::with_capacity(length / 2),
                beside: N::Beside::default(),
            },
            open: Vec::with_capacity(16),
            first_attribute: 0,
        }
    }

    pub(crate) fn beside(&mut self) -> &mut N::Beside {
        &mut self.tree.beside
    }

    /// How many elements are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The element that was opened last and is not closed.
    #[inline]
    pub(crate) fn innermost(&self) -> Option<Element<'_, N>> {
        self.open.last().map(|(at, _)| Element { tree: &self.tree, at: *at })
    }

    /// Keeps a text that is no element's own.
    #[inline]
    pub(crate) fn keep(&mut self, text: &str) -> Span {
        let from = position(self.tree.text.len());
        self.tree.text.push_str(text);
        (from, position(self.tree.text.len()))
    }

    /// Adds an attribute to the element that is opened next.
    #[inline]
    pub(crate) fn attribute(&mut self, name: N::Attribute, value: &str) {
        let value = self.keep(value);
        self.tree.attributes.push((name, value));
    }

    /// The names of the attributes of the element that is opened next, and the text that is kept.
    pub(crate) fn attribute_names(&mut self) -> (impl Iterator<Item = &mut N::Attribute>, &str) {
        let names = self.tree.attributes[self.first_attribute as usize..].iter_mut();
        (names.map(|(name, _)| name), &self.tree.text)
    }

    /// Opens an element with the attributes that were added.
    #[inline]
    pub(crate) fn open(&mut self, name: N::Element) {
        let at = position(self.tree.nodes.len());
        let text = position(self.tree.text.len());
        if let Some((parent, last_child)) = self.open.last_mut() {
            if *last_child == NONE {
                self.tree.nodes[*parent as usize].first_child = at;
            } else {
                self.tree.nodes[*last_child as usize].next = at;
            }
            *last_child = at;
        }
        let attributes = (self.first_attribute, position(self.tree.attributes.len()));
        self.first_attribute = attributes.1;
        self.tree.nodes.push(Node { name, attributes, first_child: NONE, next: NONE, text: (text, text) });
        self.open.push((at, NONE));
    }

    /// Adds to the text of the innermost element, which has no children.
    #[inline]
    pub(crate) fn characters(&mut self, text: &str, limits: &Limits) -> Result<(), Trouble> {
        let Some((at, _)) = self.open.last() else { return Ok(()) };
        let (from, _) = self.tree.nodes[*at as usize].text;
        if self.tree.text.len() - from as usize + text.len() > limits.text {
            return Err(too_long(limits.text));
        }
        self.tree.text.push_str(text);
        self.tree.nodes[*at as usize].text.1 = position(self.tree.text.len());
        Ok(())
    }

    /// Closes the innermost element.
    #[inline]
    pub(crate) fn close(&mut self) {
        self.open.pop();
    }

    /// The tree; it has a root if one was opened.
    pub(crate) fn finish(self) -> Tree<N> {
        self.tree
    }
}

/// Every position fits: a message is shorter than 4 GiB and unescaping makes nothing longer.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(NONE)
}

/// A range of a text.
pub(super) fn slice(text: &str, span: Span) -> &str {
    &text[span.0 as usize..span.1 as usize]
}

/// An element of a [`Tree`].
#[derive(Clone, Copy)]
pub(crate) struct Element<'d, N: Names> {
    tree: &'d Tree<N>,
    at: u32,
}

impl<'d, N: Names> Element<'d, N> {
    fn node(self) -> &'d Node<N> {
        &self.tree.nodes[self.at as usize]
    }

    /// The tree it is in.
    pub(crate) fn tree(self) -> &'d Tree<N> {
        self.tree
    }

    /// What is kept of its name.
    pub(crate) fn kept_name(self) -> N::Element {
        self.node().name
    }

    /// A text that is kept beside the elements' own.
    #[inline]
    pub(crate) fn kept(self, span: Span) -> &'d str {
        slice(&self.tree.text, span)
    }

    /// Its own text, with nothing trimmed.
    pub(crate) fn own_text(self) -> &'d str {
        self.kept(self.node().text)
    }

    /// The value of the first attribute whose name is accepted.
    #[inline]
    pub(crate) fn attribute(self, accepted: impl Fn(&N::Attribute) -> bool) -> Option<&'d str> {
        let (from, to) = self.node().attributes;
        self.tree.attributes[from as usize..to as usize]
            .iter()
            .find(|(name, _)| accepted(name))
            .map(|(_, value)| self.kept(*value))
    }

    pub(crate) fn has_children(self) -> bool {
        self.node().first_child != NONE
    }

    #[inline]
    pub(crate) fn children(self) -> Children<'d, N> {
        Children { tree: self.tree, next: self.node().first_child }
    }
}

/// Iterator over the children of an [`Element`].
pub(crate) struct Children<'d, N: Names> {
    tree: &'d Tree<N>,
    next: u32,
}

impl<'d, N: Names> Iterator for Children<'d, N> {
    type Item = Element<'d, N>;

    fn next(&mut self) -> Option<Element<'d, N>> {
        if self.next == NONE {
            return None;
        }
        let element = Element { tree: self.tree, at: self.next };
        self.next = element.node().next;
        Some(element)
    }
}

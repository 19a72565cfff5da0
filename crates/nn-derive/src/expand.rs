//! From a type's fields to its implementations of `Module` and `Clone`.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Field, Fields, LitStr, Path, Result, parse_quote};

pub(crate) fn module(input: DeriveInput) -> Result<TokenStream> {
    let home = home(&input.attrs)?;
    let name = &input.ident;
    let (visits, clones) = match &input.data {
        Data::Struct(data) => {
            let arm = Arm::new(quote!(#name), &data.fields, false, &home)?;
            (vec![arm.visit], vec![arm.clone])
        }
        Data::Enum(data) => {
            let mut arms = (Vec::new(), Vec::new());
            for variant in &data.variants {
                let ident = &variant.ident;
                let arm = Arm::new(quote!(#name::#ident), &variant.fields, true, &home)?;
                arms.0.push(arm.visit);
                arms.1.push(arm.clone);
            }
            arms
        }
        Data::Union(_) => {
            return Err(Error::new_spanned(name, "Module cannot be derived for a union"));
        }
    };

    let mut generics = input.generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(#home::Module));
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let kind = LitStr::new(&name.to_string(), name.span());
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics #home::Module for #name #type_generics #where_clause {
            #[allow(unused_variables)]
            fn visit(&self, visitor: &mut #home::Visitor<'_>) {
                match self { #(#visits)* }
            }
            #[allow(unused_variables)]
            fn clone_with(&self, ties: &mut #home::Ties) -> Self {
                match self { #(#clones)* }
            }
            fn kind(&self) -> &'static str {
                #kind
            }
        }

        #[automatically_derived]
        impl #impl_generics ::core::clone::Clone for #name #type_generics #where_clause {
            fn clone(&self) -> Self {
                #home::Module::clone_with(self, &mut #home::Ties::new())
            }
        }
    })
}

/// The match arms for a struct or one variant.
struct Arm {
    visit: TokenStream,
    clone: TokenStream,
}

impl Arm {
    fn new(
        constructor: TokenStream,
        fields: &Fields,
        is_variant: bool,
        home: &Path,
    ) -> Result<Self> {
        let transparent =
            is_variant && matches!(fields, Fields::Unnamed(f) if f.unnamed.len() == 1);
        let (mut members, mut bindings) = (Vec::new(), Vec::new());
        let (mut visits, mut clones) = (Vec::new(), Vec::new());
        let mut taken = HashSet::new();
        for (index, field) in fields.iter().enumerate() {
            let (member, binding, name) = names(field, index);
            let options = FieldOptions::of(field)?;
            // A type that is no module is an error at the field and not at the derive.
            let span = binding.span();
            visits.push(match (options.skip, transparent) {
                (true, _) => quote!(),
                (false, true) => quote_spanned!(span=> #home::Module::visit(#binding, visitor);),
                (false, false) => {
                    let name = options.rename.unwrap_or(name);
                    // A name that is empty adds nothing to the names inside.
                    if !name.is_empty() && !taken.insert(name.clone()) {
                        return Err(Error::new_spanned(
                            field,
                            format!(
                                "there is a field named `{name}` already; the second of two \
                                 parameters of one name would be lost in a state dict"
                            ),
                        ));
                    }
                    quote_spanned!(span=> visitor.child(#name, #binding);)
                }
            });
            clones.push(if options.skip {
                quote_spanned!(span=> ::core::clone::Clone::clone(#binding))
            } else {
                quote_spanned!(span=> #home::Module::clone_with(#binding, ties))
            });
            members.push(member);
            bindings.push(binding);
        }
        // Named, tuple and unit forms can all be written with braces.
        let pattern = quote!(#constructor { #(#members: #bindings),* });
        Ok(Arm {
            visit: quote!(#pattern => { #(#visits)* }),
            clone: quote!(#pattern => #constructor { #(#members: #clones),* },),
        })
    }
}

/// How a field is written in a pattern, what it is bound to, and what it is called.
fn names(field: &Field, index: usize) -> (TokenStream, Ident, String) {
    // It lies where the type does, and means what it means in the rest of the derived code.
    let span = field.ty.span().resolved_at(Span::call_site());
    let binding = Ident::new(&format!("field_{index}"), span);
    match &field.ident {
        // A raw identifier such as `r#type` is called `type`.
        Some(ident) => {
            let name = ident.to_string();
            let name = name.strip_prefix("r#").unwrap_or(&name).to_owned();
            (quote!(#ident), binding, name)
        }
        None => {
            let member = syn::Index::from(index);
            (member.to_token_stream(), binding, index.to_string())
        }
    }
}

#[derive(Default)]
struct FieldOptions {
    skip: bool,
    rename: Option<String>,
}

impl FieldOptions {
    fn of(field: &Field) -> Result<Self> {
        let mut options = FieldOptions::default();
        for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("skip") {
                    options.skip = true;
                    Ok(())
                } else if meta.path.is_ident("rename") {
                    options.rename = Some(meta.value()?.parse::<LitStr>()?.value());
                    Ok(())
                } else {
                    Err(meta.error("a field takes `skip` or `rename = \"...\"`"))
                }
            })?;
        }
        Ok(options)
    }
}

/// The crate that has the trait.
fn home(attributes: &[Attribute]) -> Result<Path> {
    let mut home: Path = parse_quote!(::ferrotape_nn);
    for attribute in attributes.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("crate") {
                home = meta.value()?.parse::<LitStr>()?.parse()?;
                Ok(())
            } else {
                Err(meta.error("a type takes `crate = \"...\"`"))
            }
        })?;
    }
    Ok(home)
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenTree;

    use super::*;

    /// The lines of the identifiers that begin like this, in groups too.
    fn lines(tokens: TokenStream, prefix: &str) -> Vec<usize> {
        let of = |token| match token {
            TokenTree::Group(group) => lines(group.stream(), prefix),
            TokenTree::Ident(ident) if ident.to_string().starts_with(prefix) => {
                vec![ident.span().start().line]
            }
            _ => Vec::new(),
        };
        tokens.into_iter().flat_map(of).collect()
    }

    fn expand(code: &str) -> Result<TokenStream> {
        module(syn::parse_str(code)?)
    }

    #[test]
    fn what_is_done_with_a_field_lies_where_its_type_is() {
        let code = "struct Net {\n a: Linear,\n #[module(skip)]\n b: usize,\n}";
        let tokens = expand(code).unwrap();
        // In the pattern, visited; in the pattern, cloned.
        for (binding, line, times) in [("field_0", 2, 4), ("field_1", 4, 3)] {
            assert_eq!(lines(tokens.clone(), binding), vec![line; times], "{binding}");
        }
        assert!(lines(tokens, "clone_with").contains(&2));
    }

    #[test]
    fn two_fields_of_one_name_are_refused() {
        let code = "struct Net { a: Linear, #[module(rename = \"a\")] b: Linear }";
        let error = expand(code).unwrap_err().to_string();
        assert!(error.contains("a field named `a` already"), "{error}");
        // What is not visited has no name.
        let skipped = "struct Net { a: Linear, #[module(skip, rename = \"a\")] b: usize }";
        assert!(expand(skipped).is_ok());
    }
}
